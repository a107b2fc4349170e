//! Parity of the image resizers.

use boxwright_config::{proto, text_format};
use boxwright_golden::{Case, Row, cases, integers, list, numbers, shape, text};

use crate::builders;
use crate::image_resizer::ImageResizer;

mod parity {
    use super::*;

    #[test]
    fn image_resizers() {
        let mut row = Row::new("preprocess/image_resizers", 1e-5);
        for Case { json: file, .. } in cases("preprocess", &["cases.image_u8"]) {
            for case in list(&file["cases"]) {
                let name = text(&case["name"]);
                let config: proto::ImageResizer = text_format::parse(text(&case["config"]), name).expect("a config");
                let resizer = builders::image_resizer(&config).expect("supported");
                let image: Vec<u8> = numbers(&case["image_u8"]).into_iter().map(|v| v as u8).collect();
                let size = shape(&case["image_u8"]);
                let ours = resizer.resize(&image, size[0], size[1]);
                let whole = |sizes: [usize; 3]| sizes.map(|side| side as i64).to_vec();
                assert_eq!(integers(&case["out_shape"]), whole([ours.size.0, ours.size.1, ours.channels]), "{name}");
                assert_eq!(integers(&case["true_shape"]), whole(ours.true_shape()), "{name}");
                row.case();
                row.compare(name, &ours.pixels, &numbers(&case["output"]));
            }
        }
        row.finish();
    }

    #[test]
    fn keep_aspect_output_sizes() {
        let mut row = Row::new("preprocess/keep_aspect_output_sizes", 0.0);
        for Case { json: file, .. } in cases("preprocess", &["columns", "rows"]) {
            for case in list(&file["rows"]) {
                let n: Vec<usize> = integers(case).into_iter().map(|v| v as usize).collect();
                let (h, w) = ImageResizer::keep_aspect_ratio(n[0], n[1]).resized_size(n[2], n[3]);
                row.case();
                row.compare(&format!("{n:?}"), &[h as f32, w as f32], &[n[4] as f32, n[5] as f32]);
            }
        }
        row.finish();
    }
}

#[test]
fn impossible_resizers_name_the_field() {
    let refused = [
        ("fixed_shape_resizer { height: 0 }", "fixed_shape_resizer.height"),
        ("fixed_shape_resizer { width: 100000 }", "fixed_shape_resizer.width"),
        ("keep_aspect_ratio_resizer { min_dimension: 9 max_dimension: 8 }", "keep_aspect_ratio_resizer.min_dimension"),
        ("keep_aspect_ratio_resizer { per_channel_pad_value: 1 }", "keep_aspect_ratio_resizer.per_channel_pad_value"),
        ("conditional_shape_resizer { size_threshold: -3 }", "conditional_shape_resizer.size_threshold"),
        ("conditional_shape_resizer { condition: INVALID }", "conditional_shape_resizer.condition"),
        ("pad_to_multiple_resizer { multiple: 0 }", "pad_to_multiple_resizer.multiple"),
        ("", ""),
    ];
    for (config, field) in refused {
        let message: proto::ImageResizer = text_format::parse(config, "test").expect("a config");
        assert_eq!(builders::image_resizer(&message).expect_err(config).field, field);
    }
    let grey = "fixed_shape_resizer { convert_to_grayscale: true }";
    let message: proto::ImageResizer = text_format::parse(grey, "test").expect("a config");
    assert_eq!(builders::image_resizer(&message).expect("a resizer").channels(), 1);
    let field = builders::model_image_resizer(&message).expect_err("one channel").field;
    assert_eq!(field, "fixed_shape_resizer.convert_to_grayscale");
}
