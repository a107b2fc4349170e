//! Incremental training: what a detector has learned of its classes goes to the same classes of another label map.
//!
//! A head that scores classes has a row of channels for each anchor, one channel for the background and one
//! for each class in the order of the label map. Where the new label map has other classes, or the same in
//! another order, the channels of a class are found by its name; the background keeps its own, and what is
//! new keeps its first, random values. The second stage of a Faster R-CNN also has a box of its own for each
//! class.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_core::label_map::LabelMap;
use boxwright_detection::HostTensor;
use boxwright_formats::read_file::read_bounded;

use crate::error::TrainingError;

/// The name of label maps in runs and archives.
const LABEL_MAP: &str = "label_map.pbtxt";

/// The largest label map that is read.
const MAX_LABEL_MAP: u64 = 16 << 20;

/// The numbers of a box.
const BOX_CODE: usize = 4;

/// What became of the classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassTransfer {
    /// Classes of both label maps.
    pub kept: Vec<String>,
    /// Classes that begin anew.
    pub new: Vec<String>,
    /// Classes that there are no more.
    pub gone: Vec<String>,
}

impl std::fmt::Display for ClassTransfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        write!(f, "heads kept by class name: {}; begun anew: {}", list(&self.kept), list(&self.new))?;
        if !self.gone.is_empty() {
            write!(f, "; gone: {}", list(&self.gone))?;
        }
        Ok(())
    }
}

/// The label map that lies with weights: in a run's folder, beside a file or in the folder above it, in an archive.
///
/// # Errors
/// There is one and it cannot be read.
pub fn label_map_of(weights: &Path) -> Result<Option<LabelMap>, TrainingError> {
    let beside = weights.parent().map(|folder| folder.join(LABEL_MAP));
    // RUN/checkpoints/ckpt-00000400.safetensors
    let above = weights.parent().filter(|folder| folder.ends_with("checkpoints")).and_then(Path::parent);
    let candidates = [Some(weights.join(LABEL_MAP)), beside, above.map(|folder| folder.join(LABEL_MAP))];
    let found: Option<PathBuf> = candidates.into_iter().flatten().find(|path| path.is_file());
    // What an archive holds comes before what lies beside it.
    if weights.is_file()
        && let Some(bytes) = boxwright_weights::read_archive_member(weights, LABEL_MAP, MAX_LABEL_MAP)?
    {
        return parse(&bytes, weights).map(Some);
    }
    match found {
        Some(path) => {
            let bytes = read_bounded(&path, MAX_LABEL_MAP).map_err(|e| TrainingError::file(&path, e))?;
            parse(&bytes, &path).map(Some)
        }
        None => Ok(None),
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<LabelMap, TrainingError> {
    let file = path.display().to_string();
    boxwright_config::label_map::parse(&String::from_utf8_lossy(bytes), &file)
        .map_err(|e| TrainingError::Checkpoint(format!("{LABEL_MAP} of {file}: {e}")))
}

/// Brings the heads of `values` into the order and number of classes of a new model, whose first values are
/// `fresh` and which has `num_classes`. Nothing is said where the label maps agree, and nothing is done to heads
/// that belong to another number of anchors.
pub fn carry_over(
    values: &mut BTreeMap<String, HostTensor>,
    fresh: &BTreeMap<String, HostTensor>,
    num_classes: usize,
    old: &LabelMap,
    new: &LabelMap,
) -> Option<ClassTransfer> {
    let pairs = class_pairs(old, new);
    if old.len() == new.len() && pairs.len() == new.len() && pairs.iter().all(|(from, to)| from == to) {
        return None;
    }
    let most = old.max_id() as usize;
    let mut moved = 0;
    let mut old_classes = None;
    for (name, target) in fresh.iter().filter(|(name, _)| is_class_head(name)) {
        let Some(source) = values.get(name) else { continue };
        let Some(slots) = old_slots(source, target, num_classes + 1).filter(|slots| *slots > most) else { continue };
        let channels = std::iter::once((0, 0)).chain(pairs.iter().copied()).filter(|(_, to)| *to <= num_classes);
        let carried = move_blocks(source, target, slots, num_classes + 1, 1, channels);
        values.insert(name.clone(), carried);
        old_classes = Some(slots - 1);
        moved += 1;
    }
    // A box for each class: the classes follow one another, without background.
    for (name, target) in fresh.iter().filter(|(name, _)| is_box_head_by_class(name)) {
        let (Some(source), Some(old_classes)) = (values.get(name), old_classes) else { continue };
        let by_class = |tensor: &HostTensor, classes: usize| tensor.shape.last() == Some(&(classes * BOX_CODE));
        if leading(source) != leading(target) || !by_class(source, old_classes) || !by_class(target, num_classes) {
            continue;
        }
        let boxes = pairs.iter().filter(|(_, to)| *to <= num_classes).map(|(from, to)| (from - 1, to - 1));
        let carried = move_blocks(source, target, old_classes, num_classes, BOX_CODE, boxes);
        values.insert(name.clone(), carried);
    }
    let names = |map: &LabelMap, other: &LabelMap, both: bool| {
        let names = map.items().iter().map(|item| item.name.clone());
        names.filter(|name| other.by_name(name).is_some() == both).collect::<Vec<_>>()
    };
    (moved > 0).then(|| ClassTransfer {
        kept: names(new, old, true),
        new: names(new, old, false),
        gone: names(old, new, false),
    })
}

/// The ids of the classes that both label maps have, the old one's first.
fn class_pairs(old: &LabelMap, new: &LabelMap) -> Vec<(usize, usize)> {
    let pair = |item: &boxwright_core::LabelMapItem| {
        Some((old.by_name(&item.name)?.id.get() as usize, item.id.get() as usize))
    };
    new.items().iter().filter_map(pair).collect()
}

/// Whether a variable gives scores of the label map's classes. The first stage of a Faster R-CNN only tells objects
/// from background.
fn is_class_head(name: &str) -> bool {
    let is_last = ["weights", "pointwise_weights", "biases"].iter().any(|end| name.rsplit('/').next() == Some(end));
    is_last && name.contains("/ClassPredictor/") && !name.starts_with("FirstStage")
}

fn is_box_head_by_class(name: &str) -> bool {
    name.starts_with("SecondStageBoxPredictor/BoxEncodingPredictor/")
}

fn leading(tensor: &HostTensor) -> &[usize] {
    tensor.shape.split_last().map_or(&[], |(_, leading)| leading)
}

/// How many scores the old head has for each anchor; `None` where it has other anchors or is another kind of layer.
fn old_slots(source: &HostTensor, target: &HostTensor, new_slots: usize) -> Option<usize> {
    let (&old, &new) = (source.shape.last()?, target.shape.last()?);
    let anchors = new.checked_div(new_slots).filter(|anchors| anchors * new_slots == new && *anchors > 0)?;
    (leading(source) == leading(target) && old.is_multiple_of(anchors)).then_some(old / anchors)
}

/// `target` with the blocks of `width` channels that `pairs` names taken from `source`, for each anchor.
fn move_blocks(
    source: &HostTensor,
    target: &HostTensor,
    old_blocks: usize,
    new_blocks: usize,
    width: usize,
    pairs: impl Iterator<Item = (usize, usize)> + Clone,
) -> HostTensor {
    let mut carried = target.clone();
    let (old_row, new_row) = (old_blocks * width, new_blocks * width);
    let rows = source.data.chunks_exact(old_row).zip(carried.data.chunks_exact_mut(new_row));
    for (from_row, to_row) in rows {
        for (from, to) in pairs.clone() {
            let (from, to) = (from * width, to * width);
            to_row[to..to + width].copy_from_slice(&from_row[from..from + width]);
        }
    }
    carried
}
