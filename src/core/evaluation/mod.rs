//! Average precision, as COCO and Pascal VOC define it.
