//! What the check of a config wants to know about the data: from a project's database, or from records.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_config::check::{BoxFact, LabelFact, RecordFacts};
use boxwright_config::paths;
use boxwright_core::{ImageSize, LabelMap, Split};
use boxwright_formats::tf_example::DetectionExample;
use boxwright_formats::{picture, tf_record};
use boxwright_store::Project;

use crate::error::SessionError;
use crate::records::is_usable;
use crate::watch::Watch;

/// Records that are looked into at most, and bytes of them: enough to know classes and sizes by.
const MOST_RECORDS: u64 = 20_000;
const MOST_BYTES: u64 = 4 << 30;

/// Different names of classes that are told apart at most.
const MOST_LABELS: usize = 10_000;

/// Collects boxes; of many it keeps an even sample.
#[derive(Default)]
struct Collector {
    facts: RecordFacts,
    labels: BTreeMap<(String, Option<i64>), u64>,
    most_boxes: usize,
    /// Every so many boxes one is kept.
    step: usize,
    seen: usize,
}

impl Collector {
    fn image(&mut self, boxes: usize) {
        self.facts.images += 1;
        self.most_boxes = self.most_boxes.max(boxes);
    }

    fn add(&mut self, fact: BoxFact, text: &str, number: Option<i64>) {
        let key = (text.to_owned(), number);
        if self.labels.len() < MOST_LABELS || self.labels.contains_key(&key) {
            *self.labels.entry(key).or_default() += 1;
        }
        let step = self.step.max(1);
        if self.seen.is_multiple_of(step) {
            self.facts.boxes.push(fact);
        }
        self.seen += 1;
        if self.facts.boxes.len() == RecordFacts::MOST_BOXES {
            // Half of them, and from now on half as many.
            let mut index = 0;
            self.facts.boxes.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.step = step * 2;
        }
    }

    fn finish(mut self, whole: bool) -> (RecordFacts, usize) {
        self.facts.whole = whole;
        self.facts.labels =
            self.labels.into_iter().map(|((text, number), boxes)| LabelFact { text, number, boxes }).collect();
        (self.facts, self.most_boxes)
    }
}

/// What a project would write into the records of a split.
///
/// # Errors
/// When the database cannot be read.
pub(crate) fn of_project(project: &Project, map: &LabelMap, split: Split) -> Result<RecordFacts, SessionError> {
    let boxes = project.all_boxes()?;
    let mut collector = Collector::default();
    for image in project.images()?.iter().filter(|image| image.split == split && is_usable(image)) {
        let of_image = boxes.get(&image.id).map_or(&[][..], Vec::as_slice);
        collector.image(of_image.len());
        for one in of_image {
            let bounds = one.bounds.normalize(image.size);
            let fact = BoxFact { bounds, image: image.size, class: one.label.get() };
            // Records are written with the names of the label map.
            let name = map.get(one.label).map_or("", |item| item.name.as_str());
            collector.add(fact, name, Some(i64::from(one.label.get())));
        }
    }
    Ok(collector.finish(true).0)
}

/// What the records of an input reader hold, and the most boxes of an image; none where there are no
/// records, or they cannot be read, which the check of the files reports.
pub(crate) fn of_records(
    inputs: &[String],
    root: &Path,
    map: Option<&LabelMap>,
    watch: &mut dyn Watch,
) -> Option<(RecordFacts, usize)> {
    let mut collector = Collector::default();
    let mut bytes_read = 0u64;
    let files: Vec<_> = inputs.iter().flat_map(|input| paths::expand(root, input)).collect();
    if files.is_empty() {
        return None;
    }
    for file in files {
        // A file that breaks off says what it says until then; `boxwright check` of it says where.
        let name = file.display().to_string();
        let Ok(records) = tf_record::read_records(&name) else { continue };
        for record in records.map_while(Result::ok) {
            if collector.facts.images >= MOST_RECORDS || bytes_read > MOST_BYTES || watch.cancelled() {
                return Some(collector.finish(false));
            }
            bytes_read += record.len() as u64;
            watch.progress("reading records", collector.facts.images, 0);
            let Ok(example) = DetectionExample::decode(&record, "") else { continue };
            collector.image(example.objects.len());
            let size = example.size.or_else(|| picture::probe(&example.encoded, "").ok().map(|probe| probe.size));
            for object in &example.objects {
                let class = object.label_id(map).map_or(0, |id| id.get());
                let image = size.unwrap_or(ImageSize::new(640, 480));
                collector.add(BoxFact { bounds: object.bounds, image, class }, &object.text, object.label);
            }
        }
    }
    Some(collector.finish(true))
}

#[cfg(test)]
mod tests {
    use boxwright_core::NormalizedBox;

    use super::*;

    #[test]
    fn many_boxes_leave_an_even_sample() {
        let mut collector = Collector::default();
        for i in 0..100_000u32 {
            collector.image(1);
            let x = i as f32 / 100_000.0;
            let bounds = NormalizedBox::new(0.0, 0.0, 1.0, x);
            collector.add(BoxFact { bounds, image: ImageSize::new(10, 10), class: 1 }, "a", Some(1));
        }
        let (facts, most) = collector.finish(true);
        assert_eq!((facts.images, most, facts.labels.len(), facts.labels[0].boxes), (100_000, 1, 1, 100_000));
        assert!((5_000..RecordFacts::MOST_BOXES).contains(&facts.boxes.len()), "{}", facts.boxes.len());
        let mean = facts.boxes.iter().map(|fact| f64::from(fact.bounds.xmax)).sum::<f64>() / facts.boxes.len() as f64;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
