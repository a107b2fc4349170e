//! Augmentation against `golden/preprocess`: steps whose draw was fixed, operations on boxes, and statistics of crops.

use boxwright_core::geometry::{ImageSize, NormalizedBox, PixelBox};
use boxwright_core::label_map::ClassIndex;
use boxwright_golden::{Case, Row, Value, boxes, cases, integers, list, number, numbers, shape, text};

use crate::augmentation::{
    AugmentationStep, AugmentedImage, CropOperation, CropWindow, FrameStep, Object, boxes as box_list_ops, colour,
    crop_boxes, happens, scale_image,
};
use crate::draws::Draws;

fn objects(bounds: &Value) -> Vec<Object> {
    boxes(bounds).into_iter().map(|b| Object::new(NormalizedBox::from_array(b), ClassIndex(0))).collect()
}

fn flat(boxes: impl IntoIterator<Item = NormalizedBox>) -> Vec<f32> {
    boxes.into_iter().flat_map(NormalizedBox::to_array).collect()
}

/// The picture of a file, as bytes and its size.
fn picture(value: &Value) -> (Vec<u8>, ImageSize) {
    let size = shape(value);
    (numbers(value).into_iter().map(|v| v as u8).collect(), ImageSize::new(size[1] as u32, size[0] as u32))
}

/// What a change of values makes of a picture.
fn changed(rgb: &[u8], change: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut values: Vec<f32> = rgb.iter().copied().map(f32::from).collect();
    change(&mut values);
    values
}

/// The steps that change pixels, and the flips, each with the draw that TFOD was given.
#[test]
fn steps_with_a_fixed_draw() {
    let mut row = Row::new("preprocess/augment_fixed_draw", 1e-5);
    for Case { json: file, .. } in cases("preprocess", &["image", "cases.op"]) {
        let (rgb, size) = picture(&file["image"]);
        for case in list(&file["cases"]) {
            let op = text(&case["op"]);
            if op.contains("flip") || op.contains("rotation") {
                flip_case(&mut row, case, op, &rgb, size);
            } else if let Some(ours) = pixel_case(case, op, &rgb, size) {
                row.case();
                row.compare(op, &ours, &numbers(&case["output"]));
            } else {
                println!("skipped: no fixed draw for {op}");
            }
        }
        fixed_steps(&mut row, &file, &rgb);
    }
    row.finish();
}

fn pixel_case(case: &Value, op: &str, rgb: &[u8], size: ImageSize) -> Option<Vec<f32>> {
    let draw = if case["draw"].is_null() { 0.0 } else { number(&case["draw"]) };
    Some(match op {
        "random_adjust_brightness" => changed(rgb, |v| colour::adjust_brightness(v, draw)),
        "random_adjust_contrast" => changed(rgb, |v| colour::adjust_contrast(v, draw)),
        "random_adjust_saturation" => changed(rgb, |v| colour::adjust_saturation(v, draw)),
        "random_adjust_hue" => changed(rgb, |v| colour::adjust_hue(v, draw)),
        "random_rgb_to_gray" => changed(rgb, colour::make_grey),
        "random_pixel_value_scale" => {
            let mut factors = numbers(&case["coef"]).into_iter();
            changed(rgb, |v| colour::scale_values(v, || factors.next().expect("a factor for each value")))
        }
        "random_image_scale" => {
            let mut image = AugmentedImage::new(rgb, size, vec![]);
            scale_image(&mut image, draw).expect("a small picture");
            assert_eq!(shape(&case["output"])[..2], [image.size().height as usize, image.size().width as usize]);
            image.to_floats()
        }
        _ => return None,
    })
}

fn flip_case(row: &mut Row, case: &Value, op: &str, rgb: &[u8], size: ImageSize) {
    let mut image = AugmentedImage::new(rgb, size, objects(&case["boxes"]));
    if happens(f64::from(number(&case["draw"])), 0.5) {
        match op {
            "random_horizontal_flip" => image.flip_horizontal(),
            "random_vertical_flip" => image.flip_vertical(),
            _ => image.rotate_90(),
        }
    }
    let output = list(&case["output"]);
    row.case();
    row.compare(op, &image.to_floats(), &numbers(&output[0]));
    row.compare(&format!("{op}: boxes"), &flat(image.objects.iter().map(|o| o.bounds)), &numbers(&output[1]));
}

/// The steps that draw nothing.
fn fixed_steps(row: &mut Row, file: &Value, rgb: &[u8]) {
    type Change = fn(&mut [f32]);
    let steps: [(&str, Change); 3] = [
        ("normalize_image_0_255_to_m1_1", |v| colour::normalize(v, (0.0, 255.0), (-1.0, 1.0))),
        ("subtract_channel_mean", |v| colour::subtract_channel_mean(v, [123.68, 116.779, 103.939])),
        ("rgb_to_gray", colour::make_grey),
    ];
    for (name, step) in steps {
        if file[name].is_null() {
            continue;
        }
        let golden = numbers(&file[name]);
        // The golden grey has one channel, ours three times the same.
        let ours = changed(rgb, step);
        let ours: Vec<f32> = ours.iter().step_by(ours.len() / golden.len()).copied().collect();
        row.case();
        row.compare(name, &ours, &golden);
    }
}

#[test]
fn box_list_ops_on_windows() {
    let mut row = Row::new("preprocess/box_list_ops (windows)", 1e-5);
    for Case { json: file, .. } in cases("preprocess", &["boxes", "windows.clip_to_window"]) {
        let all: Vec<NormalizedBox> = boxes(&file["boxes"]).into_iter().map(NormalizedBox::from_array).collect();
        for case in list(&file["windows"]) {
            let window = NormalizedBox::from_array(boxes(&case["window"])[0]);
            let clipped = || all.iter().map(|b| box_list_ops::clip_to_window(b, &window));
            row.case();
            for (key, golden) in case.as_object().expect("a case") {
                let overlap = key.split_once("minoverlap_").map(|(_, number)| number.replace('_', "."));
                let kept = |keep: &dyn Fn(&NormalizedBox) -> bool| all.iter().copied().filter(|b| keep(b)).collect();
                let ours: Vec<NormalizedBox> = match key.as_str() {
                    "clip_to_window" => clipped().filter(|b| b.area() > 0.0).collect(),
                    "clip_to_window_no_filter" => clipped().collect(),
                    "prune_outside_window" => kept(&|b| !box_list_ops::is_partly_outside(b, &window)),
                    "prune_completely_outside_window" => kept(&|b| !box_list_ops::is_completely_outside(b, &window)),
                    "change_coordinate_frame" => {
                        all.iter().map(|b| box_list_ops::change_coordinate_frame(b, &window)).collect()
                    }
                    _ => match overlap.and_then(|number| number.parse().ok()) {
                        Some(overlap) => kept(&|b| box_list_ops::overlaps(b, &window, overlap)),
                        None => continue,
                    },
                };
                row.compare(key, &flat(ours), &numbers(golden));
            }
        }
    }
    row.finish();
}

#[test]
fn box_list_ops_on_boxes() {
    let mut row = Row::new("preprocess/box_list_ops (boxes)", 1e-5);
    for Case { json: file, .. } in cases("preprocess", &["boxes", "windows.clip_to_window"]) {
        let all: Vec<NormalizedBox> = boxes(&file["boxes"]).into_iter().map(NormalizedBox::from_array).collect();
        for (key, golden) in file.as_object().expect("an object") {
            // `scale_y2_x3`, `to_absolute_480x640`: the name ends in the arguments.
            let arguments: Vec<f32> =
                key.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
            let each = |f: fn(&NormalizedBox) -> NormalizedBox| -> Vec<f32> { flat(all.iter().map(f)) };
            let in_pixels = |b: PixelBox| [b.ymin as f32, b.xmin as f32, b.ymax as f32, b.xmax as f32];
            let size = || ImageSize::new(arguments[1] as u32, arguments[0] as u32);
            let ours = match key.as_str() {
                "flip_left_right" => each(box_list_ops::flip_left_right),
                "flip_up_down" => each(box_list_ops::flip_up_down),
                "rot90" => each(box_list_ops::rot90),
                "height_width" => all.iter().map(NormalizedBox::height).chain(all.iter().map(|b| b.width())).collect(),
                _ if key.starts_with("scale_y") => {
                    // Scaling by a factor is going into a frame of its inverse.
                    let frame = NormalizedBox::new(0.0, 0.0, 1.0 / arguments[0], 1.0 / arguments[1]);
                    flat(all.iter().map(|b| box_list_ops::change_coordinate_frame(b, &frame)))
                }
                _ if key.starts_with("to_absolute") => {
                    all.iter().flat_map(|b| in_pixels(b.to_pixels(size()))).collect()
                }
                _ if key.starts_with("to_normalized") => {
                    flat(all.iter().map(|b| b.to_pixels(size()).normalize(size())))
                }
                _ if key.starts_with("prune_small_boxes") => {
                    let side = arguments[0] + arguments[1] / 10.0;
                    flat(all.iter().copied().filter(|b| !box_list_ops::is_smaller(b, side)))
                }
                _ => continue,
            };
            row.case();
            row.compare(key, &ours, &numbers(golden));
        }
    }
    row.finish();
}

#[test]
fn boxes_after_a_fixed_crop() {
    let mut row = Row::new("preprocess/strict_random_crop", 1e-5);
    for Case { json: file, .. } in cases("preprocess", &["image_hw", "cases.window_px_y_x_h_w"]) {
        let mut all = objects(&file["boxes"]);
        for ((object, label), weight) in
            all.iter_mut().zip(integers(&file["labels"])).zip(numbers(&file["label_weights"]))
        {
            object.class = ClassIndex(label as usize);
            object.weight = weight;
        }
        let hw = integers(&file["image_hw"]);
        let size = ImageSize::new(hw[1] as u32, hw[0] as u32);
        for case in list(&file["cases"]) {
            let w: Vec<usize> = integers(&case["window_px_y_x_h_w"]).into_iter().map(|v| v as usize).collect();
            let window = CropWindow { y: w[0], x: w[1], height: w[2], width: w[3] };
            let clip = case["clip_boxes"].as_bool().expect("a flag");
            let kept = crop_boxes(&all, window.normalize(size), number(&case["overlap_thresh"]), clip);
            row.case();
            row.compare("window", &window.normalize(size).to_array(), &numbers(&case["window_norm"]));
            row.compare("boxes", &flat(kept.iter().map(|o| o.bounds)), &numbers(&case["out_boxes"]));
            row.compare("weights", &kept.iter().map(|o| o.weight).collect::<Vec<_>>(), &numbers(&case["out_weights"]));
            let labels: Vec<i64> = kept.iter().map(|o| o.class.0 as i64).collect();
            assert_eq!(labels, integers(&case["out_labels"]), "{case}");
        }
    }
    row.finish();
}

/// The step that statistics were taken of, by its description.
fn crop_step(case: &Value) -> Option<AugmentationStep> {
    let params = text(&case["params"]);
    if text(&case["op"]) == "ssd_random_crop" && params.starts_with("defaults") {
        return Some(FrameStep::RandomCrop { operations: CropOperation::ssd_defaults() }.into());
    }
    // `min_object_covered .5, aspect (.75,1.33), …`: the numbers after a name.
    let after = |name: &str| -> Option<Vec<f32>> {
        let rest = params.split_once(name)?.1.trim_start_matches([' ', '(', '=']);
        let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ','))).unwrap_or(rest.len());
        rest[..end].split(',').filter(|v| !v.is_empty()).map(|v| v.parse().ok()).collect()
    };
    let one = |name: &str| after(name).and_then(|v| v.first().copied());
    let pair = |name: &str| after(name).and_then(|v| Some((*v.first()?, *v.get(1)?)));
    let operation = CropOperation {
        min_object_covered: one("min_object_covered")?,
        aspect_ratio_range: pair("aspect")?,
        area_range: pair("area")?,
        overlap_thresh: one("overlap_thresh")?,
        clip_boxes: true,
        random_coef: one("random_coef")?,
    };
    Some(FrameStep::RandomCrop { operations: vec![operation] }.into())
}

/// What was seen of crops: their areas and shapes, and how many boxes were left.
#[derive(Default)]
struct Crops {
    areas: Vec<f32>,
    cropped_areas: Vec<f32>,
    shapes: Vec<f32>,
    kept: Vec<usize>,
}

fn quantiles(values: &mut [f32]) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    [0.05, 0.25, 0.5, 0.75, 0.95].map(|part| values[((values.len() - 1) as f32 * part).round() as usize]).to_vec()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f32 {
    let count = values.len() as f64;
    (values.sum::<f64>() / count) as f32
}

#[test]
fn statistics_of_random_crops() {
    const SAMPLES: u64 = 4000;
    // Four standard errors of a fraction near one half from 1,500 samples, and of ours; shapes spread wider than areas.
    let mut row = Row::new("preprocess/random_crop_statistics", 0.06);
    let mut shapes = Row::new("preprocess/random_crop (shapes)", 0.15);
    for Case { json: file, .. } in cases("preprocess", &["cases.params", "cases.samples"]) {
        for case in list(&file["cases"]) {
            let Some(step) = crop_step(case) else {
                println!("skipped: crops by {}", case["params"]);
                continue;
            };
            let hw = integers(&case["image_hw"]);
            let size = ImageSize::new(hw[1] as u32, hw[0] as u32);
            let rgb = vec![0; (hw[0] * hw[1] * 3) as usize];
            let all = objects(&case["boxes"]);
            let mut crops = Crops::default();
            for sample in 0..SAMPLES {
                let mut image = AugmentedImage::new(&rgb, size, all.clone());
                step.apply(&mut image, &mut Draws::new(9, 9, sample)).expect("a crop");
                let seen = image.size();
                let area = (seen.width * seen.height) as f32 / (size.width * size.height) as f32;
                crops.areas.push(area);
                crops.kept.push(image.objects.len());
                if seen != size {
                    crops.cropped_areas.push(area);
                    crops.shapes.push(seen.width as f32 / seen.height as f32);
                }
            }
            compare_crops(case, crops, all.len(), &mut row, &mut shapes);
        }
    }
    row.finish();
    shapes.finish();
}

fn compare_crops(case: &Value, mut crops: Crops, boxes: usize, row: &mut Row, shapes: &mut Row) {
    let share = |keep: &dyn Fn(usize) -> bool| mean(crops.kept.iter().map(|&kept| f64::from(u8::from(keep(kept)))));
    let ours = [
        1.0 - crops.cropped_areas.len() as f32 / crops.areas.len() as f32,
        mean(crops.areas.iter().map(|&area| f64::from(area))),
        mean(crops.kept.iter().map(|&kept| kept as f64)),
        share(&|kept| kept == boxes),
        share(&|kept| kept == 0),
    ];
    let keys =
        ["fraction_uncropped", "mean_area_ratio", "mean_boxes_kept", "fraction_all_boxes_kept", "fraction_no_boxes"];
    row.case();
    shapes.case();
    row.compare_absolute("fractions", &ours, &keys.map(|key| number(&case[key])));
    row.compare_absolute("areas", &quantiles(&mut crops.areas), &numbers(&case["area_quantiles_5_25_50_75_95"]));
    let cropped = &case["cropped_only"];
    row.compare_absolute("cropped", &quantiles(&mut crops.cropped_areas), &numbers(&cropped["area_quantiles"]));
    let golden = numbers(&cropped["aspect_w_over_h_quantiles"]);
    shapes.compare_absolute("shapes", &quantiles(&mut crops.shapes), &golden);
}
