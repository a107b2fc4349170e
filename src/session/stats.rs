//! What a data set holds, counted.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_config::label_map;
use boxwright_core::{ImageSize, LabelMap, PixelBox, Split};
use boxwright_formats::dataset_source::read_pascal_voc_folder;
use boxwright_formats::tf_example::DetectionExample;
use boxwright_formats::{picture, tf_record};
use boxwright_store::Project;
use serde::{Serialize, Serializer};

use crate::error::SessionError;
use crate::watch::Watch;

/// Counts of a data set. As JSON it is `{"images", "boxes", "empty", "classes": {name: boxes}}`; the
/// rest is for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Images.
    pub images: usize,
    /// Boxes.
    pub boxes: usize,
    /// Images without boxes.
    pub empty: usize,
    /// Boxes of each class, in the order of the label map, else by name.
    #[serde(serialize_with = "as_map")]
    pub classes: Vec<(String, usize)>,
    /// Images whose file is not there.
    #[serde(skip)]
    pub missing: usize,
    /// Images in each split; empty where the data has none.
    #[serde(skip)]
    pub splits: BTreeMap<Split, usize>,
    /// Boxes below 32², below 96² and above, in pixels, as COCO divides them.
    #[serde(skip)]
    pub sizes: [usize; 3],
    /// Boxes higher than wide (below 2:3), about square, wider than high (above 3:2).
    #[serde(skip)]
    pub shapes: [usize; 3],
    /// The smallest and the largest width and height of an image.
    #[serde(skip)]
    pub image_sizes: Option<(ImageSize, ImageSize)>,
}

impl Stats {
    fn add_image(&mut self, size: Option<ImageSize>, boxes: usize) {
        self.images += 1;
        self.empty += usize::from(boxes == 0);
        if let Some(size) = size {
            let (least, most) = self.image_sizes.get_or_insert((size, size));
            *least = ImageSize::new(least.width.min(size.width), least.height.min(size.height));
            *most = ImageSize::new(most.width.max(size.width), most.height.max(size.height));
        }
    }

    fn add_box(&mut self, bounds: &PixelBox) {
        self.boxes += 1;
        let area = bounds.area();
        self.sizes[usize::from(area >= 32.0 * 32.0) + usize::from(area >= 96.0 * 96.0)] += 1;
        let ratio = bounds.width() / bounds.height().max(f64::MIN_POSITIVE);
        self.shapes[usize::from(ratio >= 2.0 / 3.0) + usize::from(ratio > 1.5)] += 1;
    }
}

fn as_map<S: Serializer>(classes: &[(String, usize)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(classes.iter().map(|(name, boxes)| (name, boxes)))
}

/// Counts a project, a folder of Pascal VOC files, or record files.
///
/// # Errors
/// When there is nothing to count, or it cannot be read.
pub fn stats(path: &Path, watch: &mut dyn Watch) -> Result<Stats, SessionError> {
    if Project::is_project(path) {
        return project_stats(&Project::open(path)?, watch);
    }
    if path.is_dir() || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("xml")) {
        return voc_stats(path, watch);
    }
    record_stats(path, watch)
}

/// Counts an open project.
///
/// # Errors
/// When the database cannot be read.
pub fn project_stats(project: &Project, watch: &mut dyn Watch) -> Result<Stats, SessionError> {
    let map_file = project.label_map_path();
    let map = if map_file.exists() { label_map::read(&map_file)? } else { LabelMap::default() };
    let mut stats = Stats::default();
    let images = project.images()?;
    for (done, image) in images.iter().enumerate() {
        watch.progress("counting", done as u64, images.len() as u64);
        stats.add_image(Some(image.size), image.boxes);
        *stats.splits.entry(image.split).or_default() += 1;
        stats.missing += usize::from(!project.resolve(&image.path).is_file());
    }
    for annotation in project.all_boxes()?.values().flatten() {
        stats.add_box(&annotation.bounds);
    }
    let mut counts = project.label_counts()?;
    for item in map.items() {
        stats.classes.push((item.name.clone(), counts.remove(&item.id).unwrap_or(0)));
    }
    stats.classes.extend(counts.into_iter().map(|(id, boxes)| (format!("id {id}"), boxes)));
    Ok(stats)
}

fn voc_stats(path: &Path, watch: &mut dyn Watch) -> Result<Stats, SessionError> {
    watch.progress("reading annotations", 0, 0);
    let (images, problems) = read_pascal_voc_folder(path, None, None);
    if images.is_empty() {
        let what = problems.first().map_or_else(|| "there is nothing to count in it".to_owned(), |p| p.message.clone());
        return Err(SessionError::NothingToImport { path: path.to_owned(), what });
    }
    let mut stats =
        Stats { missing: problems.iter().filter(|p| p.code == "missing-image").count(), ..Stats::default() };
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    for image in images {
        stats.add_image(image.size, image.objects.len());
        if let Some(split) = image.split {
            *stats.splits.entry(split).or_default() += 1;
        }
        for object in image.objects {
            stats.add_box(&object.bounds);
            *classes.entry(object.label).or_default() += 1;
        }
    }
    stats.classes = classes.into_iter().collect();
    Ok(stats)
}

fn record_stats(path: &Path, watch: &mut dyn Watch) -> Result<Stats, SessionError> {
    let mut stats = Stats::default();
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    let name = path.display().to_string();
    for (number, record) in tf_record::read_records(&name)?.enumerate() {
        watch.progress("reading records", number as u64, 0);
        let place = format!("{name}, record {number}");
        let example = DetectionExample::decode(&record?, &place).map_err(|e| SessionError::Other(e.to_string()))?;
        let size = picture::probe(&example.encoded, &place).map(|probe| probe.size).ok().or(example.size);
        stats.add_image(size, example.objects.len());
        for object in &example.objects {
            // Fractions of a picture that is not there have no size in pixels.
            stats.add_box(&object.bounds.to_pixels(size.unwrap_or(ImageSize::new(1, 1))));
            let class = match (object.text.as_str(), object.label) {
                ("", Some(label)) => format!("id {label}"),
                ("", None) => "unnamed".to_owned(),
                (text, _) => text.to_owned(),
            };
            *classes.entry(class).or_default() += 1;
        }
    }
    stats.classes = classes.into_iter().collect();
    Ok(stats)
}
