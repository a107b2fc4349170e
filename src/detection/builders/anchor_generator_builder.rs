//! The `anchor_generator` message (TFOD's `anchor_generator_builder`).

use boxwright_config::proto;

use super::{Built, number, refuse, size};
use crate::anchor_generators::{
    AnchorGenerator, BoxSpec, FlexibleGrid, FlexibleGridAnchorGenerator, GridAnchorGenerator,
    MultiscaleGridAnchorGenerator, SsdAnchorSettings, create_ssd_anchors,
};

/// Coarsest level of a feature pyramid: one cell of it is larger than any picture.
const MAX_LEVEL: usize = 16;

/// Largest distance, size or offset in pixels.
const MAX_PIXELS: usize = 1 << 16;

/// The anchor generator.
///
/// # Errors
/// A message that names no generator, an impossible value, or lists that do not have one entry for each layer.
pub fn anchor_generator(config: &proto::AnchorGenerator) -> Built<AnchorGenerator> {
    use proto::anchor_generator::AnchorGeneratorOneof as Kind;
    match &config.anchor_generator_oneof {
        Some(Kind::SsdAnchorGenerator(ssd)) => ssd_anchors(ssd)
            .map(|settings| AnchorGenerator::Ssd(create_ssd_anchors(settings)))
            .map_err(|e| e.within("ssd_anchor_generator")),
        Some(Kind::MultiscaleAnchorGenerator(levels)) => multiscale_anchors(levels)
            .map(AnchorGenerator::Multiscale)
            .map_err(|e| e.within("multiscale_anchor_generator")),
        Some(Kind::GridAnchorGenerator(grid)) => {
            grid_anchors(grid).map(AnchorGenerator::Grid).map_err(|e| e.within("grid_anchor_generator"))
        }
        Some(Kind::FlexibleGridAnchorGenerator(grids)) => flexible_anchors(grids)
            .map(AnchorGenerator::FlexibleGrid)
            .map_err(|e| e.within("flexible_grid_anchor_generator")),
        None => refuse("", "names no generator; add ssd_anchor_generator { … }"),
    }
}

fn positive(value: f32, field: &str) -> Built<f32> {
    number(value, f32::MIN_POSITIVE..=1e3, field)
}

/// A list of numbers above 0 with one entry at least.
fn positive_list(values: &[f32], field: &str, example: &str) -> Built<Vec<f32>> {
    if values.is_empty() {
        return refuse(field, format!("is empty; add {field}: {example}"));
    }
    values.iter().map(|&value| positive(value, field)).collect()
}

/// A distance or size in pixels.
fn pixels(value: i32, field: &str) -> Built<f32> {
    size(value, 1..=MAX_PIXELS, field).map(|value| value as f32)
}

/// A place in pixels, which may lie before the picture.
fn place(value: i32, field: &str) -> Built<f32> {
    number(value as f32, -(MAX_PIXELS as f32)..=MAX_PIXELS as f32, field)
}

fn ssd_anchors(config: &proto::SsdAnchorGenerator) -> Built<SsdAnchorSettings> {
    let num_layers = size(config.num_layers(), 1..=64, "num_layers")?;
    if config.scales.is_empty() && num_layers == 1 {
        return refuse("num_layers", "is 1, which leaves no step from min_scale to max_scale; give scales: [0.2]");
    }
    for &ratio in &config.aspect_ratios {
        positive(ratio, "aspect_ratios")?;
    }
    for &scale in &config.scales {
        positive(scale, "scales")?;
    }
    if !config.scales.is_empty() && config.scales.len() != num_layers {
        return refuse("scales", format!("has {} entries for {num_layers} layers", config.scales.len()));
    }
    if config.aspect_ratios.is_empty() && !(num_layers == 1 && config.reduce_boxes_in_lowest_layer()) {
        return refuse("aspect_ratios", "is empty; add aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333]");
    }
    Ok(SsdAnchorSettings {
        num_layers,
        min_scale: positive(config.min_scale(), "min_scale")?,
        max_scale: positive(config.max_scale(), "max_scale")?,
        scales: config.scales.clone(),
        aspect_ratios: config.aspect_ratios.clone(),
        interpolated_scale_aspect_ratio: number(
            config.interpolated_scale_aspect_ratio(),
            0.0..=1e3,
            "interpolated_scale_aspect_ratio",
        )?,
        reduce_boxes_in_lowest_layer: config.reduce_boxes_in_lowest_layer(),
        base_anchor_size: [
            positive(config.base_anchor_height(), "base_anchor_height")?,
            positive(config.base_anchor_width(), "base_anchor_width")?,
        ],
        anchor_strides: pairs(&config.height_stride, &config.width_stride, num_layers, "height_stride")?,
        anchor_offsets: pairs(&config.height_offset, &config.width_offset, num_layers, "height_offset")?,
    })
}

/// Heights and widths, one pair for each layer; none at all is fine.
fn pairs(heights: &[i32], widths: &[i32], layers: usize, field: &str) -> Built<Option<Vec<[f32; 2]>>> {
    if heights.is_empty() && widths.is_empty() {
        return Ok(None);
    }
    if heights.len() != layers || widths.len() != layers {
        let other = field.replace("height", "width");
        return refuse(
            field,
            format!(
                "has {} entries and {other} has {} for {layers} layers; give each one entry a layer",
                heights.len(),
                widths.len()
            ),
        );
    }
    Ok(Some(heights.iter().zip(widths).map(|(&h, &w)| [h as f32, w as f32]).collect()))
}

fn multiscale_anchors(config: &proto::MultiscaleAnchorGenerator) -> Built<MultiscaleGridAnchorGenerator> {
    let min_level = size(config.min_level(), 0..=MAX_LEVEL, "min_level")?;
    let max_level = size(config.max_level(), min_level..=MAX_LEVEL, "max_level")?;
    Ok(MultiscaleGridAnchorGenerator {
        min_level: min_level as u32,
        max_level: max_level as u32,
        anchor_scale: positive(config.anchor_scale(), "anchor_scale")?,
        aspect_ratios: positive_list(&config.aspect_ratios, "aspect_ratios", "[1.0, 2.0, 0.5]")?,
        scales_per_octave: size(config.scales_per_octave(), 1..=64, "scales_per_octave")? as u32,
        normalize_coordinates: config.normalize_coordinates(),
    })
}

fn grid_anchors(config: &proto::GridAnchorGenerator) -> Built<GridAnchorGenerator> {
    Ok(GridAnchorGenerator {
        scales: positive_list(&config.scales, "scales", "[0.25, 0.5, 1.0, 2.0]")?,
        aspect_ratios: positive_list(&config.aspect_ratios, "aspect_ratios", "[0.5, 1.0, 2.0]")?,
        base_anchor_size: [pixels(config.height(), "height")?, pixels(config.width(), "width")?],
        anchor_stride: [
            pixels(config.height_stride(), "height_stride")?,
            pixels(config.width_stride(), "width_stride")?,
        ],
        anchor_offset: [place(config.height_offset(), "height_offset")?, place(config.width_offset(), "width_offset")?],
    })
}

fn flexible_anchors(config: &proto::FlexibleGridAnchorGenerator) -> Built<FlexibleGridAnchorGenerator> {
    if config.anchor_grid.is_empty() {
        return refuse("anchor_grid", "is missing; add one anchor_grid { … } for each feature map");
    }
    let layers = config.anchor_grid.iter().enumerate().map(|(index, grid)| {
        let name = format!("anchor_grid[{index}]");
        flexible_grid(grid).map_err(|e| e.within(&name))
    });
    Ok(FlexibleGridAnchorGenerator {
        layers: layers.collect::<Built<_>>()?,
        normalize_coordinates: config.normalize_coordinates(),
    })
}

fn flexible_grid(config: &proto::AnchorGrid) -> Built<FlexibleGrid> {
    let (sizes, ratios) = (&config.base_sizes, &config.aspect_ratios);
    if sizes.is_empty() || sizes.len() != ratios.len() {
        return refuse(
            "base_sizes",
            format!("has {} entries and aspect_ratios has {}; give each size its ratio", sizes.len(), ratios.len()),
        );
    }
    let spec = |(&scale, &aspect_ratio): (&f32, &f32)| {
        Ok(BoxSpec {
            scale: number(scale, f32::MIN_POSITIVE..=MAX_PIXELS as f32, "base_sizes")?,
            aspect_ratio: positive(aspect_ratio, "aspect_ratios")?,
        })
    };
    let whole = |value: u32, field: &str| {
        let most = MAX_PIXELS as u32;
        if value <= most { Ok(value as f32) } else { refuse(field, format!("is {value}, more than {most}")) }
    };
    let stride = |value: u32, field: &str| {
        if value == 0 { refuse(field, "is 0; set it to the pixels between two cells") } else { whole(value, field) }
    };
    Ok(FlexibleGrid {
        specs: sizes.iter().zip(ratios).map(spec).collect::<Built<_>>()?,
        stride: [stride(config.height_stride(), "height_stride")?, stride(config.width_stride(), "width_stride")?],
        offset: [whole(config.height_offset(), "height_offset")?, whole(config.width_offset(), "width_offset")?],
    })
}
