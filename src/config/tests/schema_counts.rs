//! The schema has as many messages, enums and fields, file by file, as TFOD's.

use crate::proto::descriptor_pool;

/// File, messages, enums, and fields without maps.
#[rustfmt::skip]
const COUNTS: &[(&str, usize, usize, usize)] = &[
    ("anchor_generator", 1, 0, 4), ("argmax_matcher", 1, 0, 6), ("bipartite_matcher", 1, 0, 1), ("box_coder", 1, 0, 4),
    ("box_predictor", 7, 1, 55), ("calibration", 9, 1, 14), ("center_net", 11, 0, 106), ("eval", 4, 0, 35),
    ("faster_rcnn", 3, 1, 59), ("faster_rcnn_box_coder", 1, 0, 4), ("flexible_grid_anchor_generator", 2, 0, 8),
    ("fpn", 2, 0, 8), ("graph_rewriter", 2, 0, 5), ("grid_anchor_generator", 1, 0, 8), ("hyperparams", 10, 3, 29),
    ("image_resizer", 6, 2, 21), ("input_reader", 3, 2, 37), ("keypoint_box_coder", 1, 0, 5), ("losses", 18, 2, 47),
    ("matcher", 1, 0, 2), ("mean_stddev_box_coder", 1, 0, 1), ("model", 2, 0, 5), ("multiscale_anchor_generator", 1, 0, 6),
    ("optimizer", 10, 0, 35), ("pipeline", 1, 0, 6), ("post_processing", 2, 1, 17), ("preprocessor", 44, 2, 173),
    ("region_similarity_calculator", 5, 0, 5), ("square_box_coder", 1, 0, 3), ("ssd", 3, 0, 44),
    ("ssd_anchor_generator", 1, 0, 13), ("string_int_label_map", 3, 1, 11), ("target_assigner", 1, 0, 3), ("train", 1, 1, 29),
];

#[test]
fn every_file_has_its_messages_enums_and_fields() {
    let pool = descriptor_pool();
    assert_eq!(pool.files().len(), COUNTS.len());
    let mut total = (0, 0, 0);
    for &(name, messages, enums, fields) in COUNTS {
        let file = format!("object_detection/protos/{name}.proto");
        let of_file: Vec<_> = pool
            .all_messages()
            .filter(|message| message.parent_file().name() == file && !message.is_map_entry())
            .collect();
        let found = (
            of_file.len(),
            pool.all_enums().filter(|type_of| type_of.parent_file().name() == file).count(),
            of_file
                .iter()
                .flat_map(|message| message.fields().collect::<Vec<_>>())
                .filter(|field| !field.is_map())
                .count(),
        );
        assert_eq!(found, (messages, enums, fields), "{name}");
        total = (total.0 + found.0, total.1 + found.1, total.2 + found.2);
    }
    assert_eq!(total, (161, 17, 809));
    let maps =
        pool.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>()).filter(|field| field.is_map());
    assert_eq!(maps.count(), 5);
}

#[test]
fn the_package_and_the_numbers_are_those_of_the_object_detection_api() {
    let pool = descriptor_pool();
    let number = |message: &str, field: &str| {
        let message = pool.get_message_by_name(&format!("object_detection.protos.{message}")).expect("a message");
        message.get_field_by_name(field).expect("a field").number()
    };
    assert_eq!(number("TrainEvalPipelineConfig", "eval_input_reader"), 5);
    assert_eq!(number("TrainConfig", "fine_tune_checkpoint_type"), 22);
    assert_eq!(number("CenterNet.DeepMACMaskEstimation", "mask_num_subsamples"), 67);
    assert_eq!(number("ClassificationLoss", "weighted_logits_softmax"), 5);
    assert_eq!(number("SSDRandomCropPadOperation", "clip_boxes"), 13);
    assert_eq!(number("BatchNonMaxSuppression", "max_total_detections"), 5);
    let extensions = |name: &str| {
        let message = pool.get_message_by_name(&format!("object_detection.protos.{name}")).expect("a message");
        message.extension_ranges().collect::<Vec<_>>()
    };
    assert_eq!((extensions("ExternalInputReader").len(), extensions("ExternalInputReader")[0].clone()), (1, 1..1000));
    assert_eq!(extensions("TrainEvalPipelineConfig")[0].start, 1000);
    assert_eq!(extensions("GraphRewriter")[0].start, 1000);
}
