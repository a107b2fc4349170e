//! What every step of augmentation keeps whole, whatever it draws, and what of the config is refused.

use boxwright_config::{proto, text_format};
use boxwright_core::annotation::BoxFlags;
use boxwright_core::geometry::{ImageSize, NormalizedBox};
use boxwright_core::label_map::ClassIndex;
use boxwright_detection::image_resizer::{ImageResizer, ResizeMethod, Sizing};

use crate::augmentation::{
    AugmentationStep, AugmentedImage, CropPadOperation, FrameStep, Object, ObjectStep, SizeStep,
};
use crate::builders::{FieldError, augmentation};
use crate::draws::Draws;

/// Every step that is honoured, with options near the ends of what is allowed among them.
const STEPS: &[&str] = &[
    "normalize_image { original_minval: 0 original_maxval: 255 target_minval: -1 target_maxval: 1 }",
    "random_horizontal_flip { }",
    "random_vertical_flip { probability: 1 }",
    "random_rotation90 { probability: 0.7 }",
    "random_pixel_value_scale { minval: 0 maxval: 3 }",
    "random_image_scale { min_scale_ratio: 0.01 max_scale_ratio: 3 }",
    "random_rgb_to_gray { probability: 0.5 }",
    "random_adjust_brightness { max_delta: 1 }",
    "random_adjust_contrast { min_delta: 0 max_delta: 9 }",
    "random_adjust_hue { max_delta: 1 }",
    "random_adjust_saturation { min_delta: 0 max_delta: 9 }",
    "random_distort_color { color_ordering: 0 }",
    "random_distort_color { color_ordering: 1 }",
    "adjust_gamma { gamma: 0.4 gain: 2 }",
    "random_jitter_boxes { ratio: 0.3 }",
    "random_jitter_boxes { ratio: 1 jitter_mode: SHRINK }",
    "random_jitter_boxes { ratio: 0.5 jitter_mode: EXPAND_SYMMETRIC_XY }",
    "random_crop_image { min_object_covered: 0 }",
    "random_crop_image { min_object_covered: 1 min_area: 0.9 random_coef: 0.5 }",
    "random_pad_image { }",
    "random_pad_image { min_image_height: 3 min_image_width: 90 max_image_height: 8 max_image_width: 99 pad_color: 9 }",
    "random_absolute_pad_image { max_height_padding: 10 max_width_padding: 3 pad_color: [1, 2, 3] }",
    "random_crop_pad_image { min_object_covered: 0 }",
    "random_crop_pad_image { min_padded_size_ratio: [0, 2] max_padded_size_ratio: [0.5, 3] }",
    "random_crop_to_aspect_ratio { }",
    "random_crop_to_aspect_ratio { aspect_ratio: 20 overlap_thresh: 0 }",
    "random_black_patches { probability: 1 size_to_image_ratio: 0.5 }",
    "random_black_patches { probability: 1 size_to_image_ratio: 1 }",
    "random_resize_method { target_height: 4 target_width: 9 }",
    "resize_image { new_height: 40 new_width: 2 method: AREA }",
    "resize_image { new_height: 3 new_width: 30 method: BICUBIC }",
    "subtract_channel_mean { means: [123.68, 116.779, 103.939] }",
    "ssd_random_crop { }",
    "ssd_random_crop { operations { min_aspect_ratio: 0.1 max_aspect_ratio: 9 min_area: 0.01 max_area: 0.1 } }",
    "ssd_random_crop_pad { }",
    "ssd_random_crop_pad { operations { min_aspect_ratio: 0.5 max_aspect_ratio: 2 min_area: 0.1 max_area: 1 } }",
    "ssd_random_crop_fixed_aspect_ratio { aspect_ratio: 2 }",
    "ssd_random_crop_pad_fixed_aspect_ratio { aspect_ratio: 0.5 }",
    "ssd_random_crop_pad_fixed_aspect_ratio { min_padded_size_ratio: [0, 0] max_padded_size_ratio: [0.1, 9] }",
    "random_self_concat_image { concat_vertical_probability: 0.5 concat_horizontal_probability: 0.5 }",
    "drop_label_probabilistically { label: 1 drop_probability: 0.5 }",
    "remap_labels { original_labels: [1, 2] new_label: 3 }",
    "random_jpeg_quality { }",
    "random_jpeg_quality { min_jpeg_quality: 7 max_jpeg_quality: 7 }",
    "random_downscale_to_target_pixels { min_target_pixels: 1 max_target_pixels: 300 }",
    "random_patch_gaussian { max_patch_size: 30 max_gaussian_stddev: 2 }",
    "random_square_crop_by_scale { }",
    "random_square_crop_by_scale { max_border: 0 scale_min: 0.01 scale_max: 3 num_scales: 1 }",
    "random_scale_crop_and_pad_to_square { output_size: 20 }",
    "random_scale_crop_and_pad_to_square { output_size: 1 scale_min: 0.001 scale_max: 0.1 }",
];

fn config(steps: &[&str]) -> proto::TrainConfig {
    let text: String = steps.iter().map(|step| format!("data_augmentation_options {{ {step} }}\n")).collect();
    text_format::parse(&text, "test").expect("a config")
}

fn built(step: &str) -> AugmentationStep {
    let mut steps = augmentation(&config(&[step])).unwrap_or_else(|error| panic!("{step}: {error}"));
    steps.remove(0)
}

fn error_of(step: &str) -> FieldError {
    augmentation(&config(&[step])).expect_err(step)
}

fn object(edges: [f32; 4], class: usize) -> Object {
    Object::new(NormalizedBox::from_array(edges), ClassIndex(class))
}

/// A picture with something to see.
fn gradient(size: ImageSize) -> Vec<u8> {
    (0..size.width * size.height * 3).map(|i| (i * 37 % 256) as u8).collect()
}

fn some_objects() -> Vec<Object> {
    let mut objects =
        vec![object([0.1, 0.2, 0.5, 0.9], 0), object([0.0, 0.0, 1.0, 1.0], 1), object([0.9, 0.9, 1.0, 1.0], 2)];
    objects[1].weight = 0.5;
    objects[2].flags = BoxFlags { difficult: true, ..BoxFlags::default() };
    objects
}

#[test]
fn every_step_leaves_whole_pictures_and_whole_boxes() {
    let sizes = [ImageSize::new(1, 1), ImageSize::new(1, 9), ImageSize::new(8, 1), ImageSize::new(23, 17)];
    for text in STEPS {
        let step = built(text);
        for size in sizes {
            let rgb = gradient(size);
            for seed in 0..24 {
                let objects = if seed % 4 == 0 { vec![] } else { some_objects() };
                let mut image = AugmentedImage::new(&rgb, size, objects);
                step.apply(&mut image, &mut Draws::new(seed, 1, 1)).expect("a small picture");
                check_whole(&image, text);
            }
        }
    }
}

fn check_whole(image: &AugmentedImage<'_>, step: &str) {
    let size = image.size();
    let values = image.to_floats();
    assert!(size.width > 0 && size.height > 0, "{step}");
    assert_eq!(values.len(), (size.width * size.height * 3) as usize, "{step}");
    assert!(values.iter().all(|v| v.is_finite()), "{step}");
    for o in &image.objects {
        let b = o.bounds;
        assert!(b.to_array().iter().all(|v| (-1e-5..=1.0 + 1e-5).contains(v)), "{step}: {b:?}");
        assert!(b.ymin <= b.ymax && b.xmin <= b.xmax, "{step}: {b:?}");
        // What belongs to a box has come along with it.
        let whole = (o.flags.difficult == (o.class.0 == 2), (o.weight == 0.5) == (o.class.0 == 1));
        assert!(whole == (true, true) || step.starts_with("remap"), "{step}");
    }
}

#[test]
fn the_same_draws_give_the_same_image_in_any_chain() {
    let all: Vec<AugmentationStep> = STEPS.iter().map(|step| built(step)).collect();
    let size = ImageSize::new(23, 17);
    let rgb = gradient(size);
    for seed in 0..40 {
        let mut order = Draws::new(seed, 7, 7);
        let chain: Vec<&AugmentationStep> = (0..6).map(|_| &all[order.below(all.len())]).collect();
        let run = || {
            let mut image = AugmentedImage::new(&rgb, size, some_objects());
            let mut draws = Draws::new(seed, 1, 1);
            for step in &chain {
                step.apply(&mut image, &mut draws).expect("a small picture");
            }
            image
        };
        let image = run();
        assert_eq!(image, run());
        assert!(image.to_floats().iter().all(|v| v.is_finite()), "{chain:?}");
    }
}

/// A black picture with a white box, and the box.
fn painted(size: ImageSize, [top, left, bottom, right]: [u32; 4]) -> (Vec<u8>, Object) {
    let inside = |i: u32| (top..bottom).contains(&(i / size.width)) && (left..right).contains(&(i % size.width));
    let rgb = (0..size.width * size.height).flat_map(|i| [if inside(i) { 255 } else { 0 }; 3]).collect();
    let (h, w) = (size.height as f32, size.width as f32);
    (rgb, object([top as f32 / h, left as f32 / w, bottom as f32 / h, right as f32 / w], 0))
}

/// The edges of what is white, in pixels.
fn found(image: &AugmentedImage<'_>) -> Option<[f32; 4]> {
    let width = image.size().width as usize;
    let values = image.to_floats();
    let white: Vec<(usize, usize)> = values
        .chunks(3)
        .enumerate()
        .filter(|(_, pixel)| pixel[0] > 128.0)
        .map(|(i, _)| (i / width, i % width))
        .collect();
    let (rows, columns) = (white.iter().map(|p| p.0), white.iter().map(|p| p.1));
    Some([
        rows.clone().min()? as f32,
        columns.clone().min()? as f32,
        rows.max()? as f32 + 1.0,
        columns.max()? as f32 + 1.0,
    ])
}

/// Steps that move pixels as they are: the painted box must be found just where the box says.
#[test]
fn boxes_lie_on_their_pixels() {
    let exact = [
        "random_horizontal_flip { probability: 1 }",
        "random_vertical_flip { probability: 1 }",
        "random_rotation90 { probability: 1 }",
        "ssd_random_crop { }",
        "random_crop_image { min_object_covered: 0 overlap_thresh: 0 }",
        "random_crop_to_aspect_ratio { aspect_ratio: 1.5 overlap_thresh: 0 }",
        "random_pad_image { pad_color: 0 }",
        "random_absolute_pad_image { max_height_padding: 10 max_width_padding: 30 pad_color: 0 }",
        "random_crop_pad_image { min_object_covered: 0 overlap_thresh: 0 pad_color: 0 }",
        "ssd_random_crop_fixed_aspect_ratio { aspect_ratio: 0.7 }",
        "ssd_random_crop_pad_fixed_aspect_ratio { aspect_ratio: 2 }",
        "random_square_crop_by_scale { }",
    ];
    check_painted(&exact, 1e-3);
}

/// Steps that compute new pixels: within the width of an interpolation.
#[test]
fn boxes_lie_on_their_pixels_after_scaling() {
    let scaled = [
        "random_image_scale { min_scale_ratio: 0.8 max_scale_ratio: 2 }",
        "resize_image { new_height: 50 new_width: 90 }",
        "random_resize_method { target_height: 60 target_width: 50 }",
        "random_downscale_to_target_pixels { min_target_pixels: 1500 max_target_pixels: 2000 }",
        "random_scale_crop_and_pad_to_square { output_size: 64 scale_min: 0.5 scale_max: 2 }",
    ];
    check_painted(&scaled, 2.5);
}

fn check_painted(steps: &[&str], tolerance: f32) {
    let size = ImageSize::new(61, 43);
    let (rgb, object) = painted(size, [9, 14, 30, 41]);
    for text in steps {
        let step = built(text);
        let mut seen = 0;
        for seed in 0..60 {
            let mut image = AugmentedImage::new(&rgb, size, vec![object]);
            step.apply(&mut image, &mut Draws::new(seed, 3, 3)).expect("a small picture");
            let Some(object) = image.objects.first() else { continue };
            let (h, w) = (image.size().height as f32, image.size().width as f32);
            let b = object.bounds.clip();
            let wanted = [b.ymin * h, b.xmin * w, b.ymax * h, b.xmax * w];
            // A corner of a box may be cut to less than a pixel that shows it.
            let Some(found) = found(&image) else { continue };
            seen += 1;
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() <= tolerance, "{text} {seed}: {found} instead of {wanted}");
            }
        }
        assert!(seen >= 30, "{text}: {seen}");
    }
}

#[test]
fn concatenated_copies_have_their_own_boxes() {
    let size = ImageSize::new(4, 3);
    let (rgb, object) = painted(size, [1, 1, 2, 3]);
    let step = built("random_self_concat_image { concat_vertical_probability: 1 concat_horizontal_probability: 1 }");
    let mut image = AugmentedImage::new(&rgb, size, vec![object]);
    step.apply(&mut image, &mut Draws::new(1, 1, 1)).expect("a small picture");
    assert_eq!((image.size(), image.objects.len()), (ImageSize::new(8, 6), 4));
    let values = image.to_floats();
    for object in &image.objects {
        let b = object.bounds;
        let (top, left) = ((b.ymin * 6.0).round() as usize, (b.xmin * 8.0).round() as usize);
        assert_eq!([values[(top * 8 + left) * 3], values[(top * 8 + left + 1) * 3]], [255.0, 255.0], "{b:?}");
    }
    assert_eq!(values.iter().filter(|v| **v == 255.0).count(), 4 * 2 * 3);
}

#[test]
fn patches_paint_and_jpeg_stays_near() {
    let size = ImageSize::new(40, 40);
    let white = vec![255; 4800];
    let mut image = AugmentedImage::new(&white, size, vec![]);
    let step = built("random_black_patches { max_black_patches: 1 probability: 1 size_to_image_ratio: 0.25 }");
    step.apply(&mut image, &mut Draws::new(1, 1, 1)).expect("a small picture");
    assert_eq!(image.to_floats().iter().filter(|v| **v == 0.0).count(), 10 * 10 * 3);

    let smooth: Vec<u8> = (0..1600u32).flat_map(|i| [(i / 40 * 6) as u8, 100, 200]).collect();
    let mut image = AugmentedImage::new(&smooth, size, vec![]);
    let step = built("random_jpeg_quality { min_jpeg_quality: 90 max_jpeg_quality: 91 }");
    step.apply(&mut image, &mut Draws::new(1, 1, 1)).expect("a small picture");
    let far = image.to_bytes().iter().zip(&smooth).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(far > Some(0) && far < Some(12), "{far:?}");

    let mut image = AugmentedImage::new(&white, size, vec![]);
    let step = built("random_patch_gaussian { min_patch_size: 8 max_patch_size: 9 min_gaussian_stddev: 0.5 }");
    step.apply(&mut image, &mut Draws::new(2, 1, 1)).expect("a small picture");
    let changed = image.to_floats().chunks(3).filter(|p| p.iter().any(|v| *v < 254.0)).count();
    assert!((10..=64).contains(&changed), "{changed}");
}

#[test]
fn labels_are_those_of_the_label_map() {
    let mut image = AugmentedImage::new(&[0; 3], ImageSize::new(1, 1), some_objects());
    let draws = &mut Draws::new(1, 1, 1);
    built("remap_labels { original_labels: [2, 3] new_label: 1 }").apply(&mut image, draws).expect("no pixels");
    assert_eq!(image.objects.iter().map(|o| o.class.0).collect::<Vec<_>>(), [0, 0, 0]);
    image.objects = some_objects();
    built("drop_label_probabilistically { label: 2 }").apply(&mut image, draws).expect("no pixels");
    assert_eq!(image.objects.iter().map(|o| o.class.0).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn only_the_first_change_of_a_value_makes_floats() {
    let size = ImageSize::new(8, 6);
    let rgb = gradient(size);
    let mut image = AugmentedImage::new(&rgb, size, some_objects());
    image.flip_horizontal();
    image.rotate_90();
    let (resized, _) = image.clone().finish(&ImageResizer::fixed_shape(8, 6));
    assert_eq!(resized.pixels, image.to_floats());
    // A padded frame takes the boxes along.
    let sizing = Sizing::KeepAspectRatio { min_dimension: 6, max_dimension: 16, pad: Some([0.0; 3]) };
    let before = image.objects[0].bounds;
    let (resized, objects) = image.finish(&ImageResizer::bilinear(sizing));
    assert_eq!((resized.size, resized.true_shape()), ((16, 16), [8, 6, 3]));
    assert_eq!(objects[0].bounds.ymax, before.ymax / 2.0);
}

#[test]
fn pictures_without_bound_are_refused() {
    let rgb = vec![0; 300];
    for step in [
        "random_image_scale { min_scale_ratio: 999 max_scale_ratio: 1000 }",
        "random_pad_image { min_image_height: 15000 min_image_width: 15000 max_image_height: 16000 max_image_width: 16000 }",
        "random_scale_crop_and_pad_to_square { output_size: 16000 }",
        "random_square_crop_by_scale { scale_min: 999 scale_max: 1000 }",
    ] {
        let mut image = AugmentedImage::new(&rgb, ImageSize::new(10, 10), vec![]);
        let result = built(step).apply(&mut image, &mut Draws::new(1, 1, 1));
        assert!(result.is_err_and(|error| error.to_string().contains("more than")), "{step}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused_by_its_field() {
    let refused = [
        ("rgb_to_gray { }", "rgb_to_gray"),
        ("scale_boxes_to_pixel_coordinates { }", "scale_boxes_to_pixel_coordinates"),
        ("convert_class_logits_to_softmax { }", "convert_class_logits_to_softmax"),
        ("autoaugment_image { }", "autoaugment_image"),
        ("random_horizontal_flip { probability: 1.5 }", "random_horizontal_flip.probability"),
        ("random_vertical_flip { probability: -1 }", "random_vertical_flip.probability"),
        ("random_rotation90 { probability: nan }", "random_rotation90.probability"),
        ("normalize_image { }", "normalize_image.original_maxval"),
        ("random_pixel_value_scale { minval: 2 maxval: 1 }", "random_pixel_value_scale.minval"),
        ("random_image_scale { min_scale_ratio: 0 }", "random_image_scale.min_scale_ratio"),
        ("random_adjust_contrast { min_delta: 2 }", "random_adjust_contrast.min_delta"),
        ("random_distort_color { color_ordering: 2 }", "random_distort_color.color_ordering"),
        ("random_jitter_boxes { ratio: 2 }", "random_jitter_boxes.ratio"),
        ("random_crop_image { max_area: 1.5 }", "random_crop_image.max_area"),
        ("random_pad_image { min_image_height: 9 }", "random_pad_image.min_image_width"),
        ("random_pad_image { max_image_height: 20000 max_image_width: 9 }", "random_pad_image.max_image_height"),
        ("random_pad_image { pad_color: [1, 2] }", "random_pad_image.pad_color"),
        ("random_crop_pad_image { min_padded_size_ratio: 1 }", "random_crop_pad_image.min_padded_size_ratio"),
        ("random_crop_to_aspect_ratio { aspect_ratio: 0 }", "random_crop_to_aspect_ratio.aspect_ratio"),
        ("random_black_patches { max_black_patches: -1 }", "random_black_patches.max_black_patches"),
        ("random_resize_method { target_height: 5 }", "random_resize_method.target_width"),
        ("resize_image { }", "resize_image.new_height"),
        ("subtract_channel_mean { means: [1] }", "subtract_channel_mean.means"),
        ("ssd_random_crop { operations { } }", "ssd_random_crop.operations[0].min_aspect_ratio"),
        ("remap_labels { original_labels: 1 }", "remap_labels.new_label"),
        ("drop_label_probabilistically { }", "drop_label_probabilistically.label"),
        ("random_jpeg_quality { min_jpeg_quality: 9 max_jpeg_quality: 8 }", "random_jpeg_quality.min_jpeg_quality"),
        (
            "random_downscale_to_target_pixels { min_target_pixels: 900000 }",
            "random_downscale_to_target_pixels.min_target_pixels",
        ),
        ("random_patch_gaussian { min_patch_size: 0 }", "random_patch_gaussian.min_patch_size"),
        ("random_square_crop_by_scale { num_scales: 0 }", "random_square_crop_by_scale.num_scales"),
        ("random_scale_crop_and_pad_to_square { output_size: 0 }", "random_scale_crop_and_pad_to_square.output_size"),
    ];
    for (step, field) in refused {
        let error = error_of(step);
        assert_eq!(error.field, format!("train_config.data_augmentation_options[0].{field}"), "{error}");
    }
    assert_eq!(error_of("").field, "train_config.data_augmentation_options[0]");
}

#[test]
fn defaults_are_those_of_the_reference() {
    let area = built("resize_image { new_height: 1 new_width: 2 method: AREA }");
    assert_eq!(area, SizeStep::ResizeImage { size: (1, 2), method: ResizeMethod::Area }.into());
    let downscale = built("random_downscale_to_target_pixels { }");
    let target_pixels = (300_000, 800_000);
    assert_eq!(downscale, SizeStep::RandomDownscaleToTargetPixels { random_coef: 0.0, target_pixels }.into());
    let crop_pad = built("ssd_random_crop_pad { }");
    assert_eq!(crop_pad, FrameStep::RandomCropPad { operations: CropPadOperation::ssd_defaults() }.into());
    assert_eq!(CropPadOperation::ssd_defaults().len(), 6);
    let AugmentationStep::Frame(FrameStep::RandomCrop { operations }) = built("ssd_random_crop { }") else {
        panic!("a crop");
    };
    assert_eq!((operations.len(), operations[0].random_coef, operations[6].min_object_covered), (7, 0.15, 1.0));
    assert!(matches!(
        built("remap_labels { original_labels: 4 new_label: 2 }"),
        AugmentationStep::Objects(ObjectStep::RemapLabels { original, new: ClassIndex(1) }) if original == [ClassIndex(3)]
    ));
}

/// The sample configs of TFOD itself ask for nothing that is refused.
#[test]
fn sample_configs_are_honoured() {
    let Some(folder) = boxwright_golden::golden("config") else { return };
    let mut steps = 0;
    for file in boxwright_golden::files(&folder, "", ".config") {
        let name = file.display().to_string();
        let Ok(config) = text_format::parse::<proto::TrainEvalPipelineConfig>(&boxwright_golden::read(&file), &name)
        else {
            continue;
        };
        let built = augmentation(&config.train_config.unwrap_or_default());
        steps += built.unwrap_or_else(|error| panic!("{name}: {error}")).len();
    }
    assert!(steps > 0, "no step in {}", folder.display());
}
