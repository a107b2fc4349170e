//! Dividing images between training and validation.
//!
//! The order in which images go to validation comes from a hash of their content and the seed, not
//! from a random number at the time of the call: asking again gives the same answer, copies of one
//! picture always land on the same side, and a few new images move only a few old ones. Within that,
//! each class keeps its share: images are grouped by their rarest class (images without boxes form a
//! group of their own) and every group gives the same fraction.

use std::collections::{BTreeMap, BTreeSet};

use boxwright_core::{ImageId, LabelId, Split};
use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::images::set_split;
use crate::project::Project;

/// Which images an automatic split may move. Those kept back for testing never move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitScope {
    /// Only those that belong nowhere yet.
    Unassigned,
    /// Those of training and validation as well.
    TrainAndVal,
}

impl Project {
    /// Divides images between training and validation, about `val_fraction` of each class to the
    /// latter, and returns how many went to each.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub fn auto_split(
        &mut self,
        val_fraction: f64,
        seed: u64,
        scope: SplitScope,
    ) -> Result<(usize, usize), StoreError> {
        let hashes = self.image_hashes()?;
        let counts = self.label_counts()?;
        let boxes = self.all_boxes()?;
        let mut groups: BTreeMap<Option<LabelId>, Vec<(u64, String, ImageId)>> = BTreeMap::new();
        for image in self.images()? {
            let in_scope = match image.split {
                Split::Unassigned => true,
                Split::Train | Split::Val => scope == SplitScope::TrainAndVal,
                Split::Test => false,
            };
            if !in_scope {
                continue;
            }
            let labels: BTreeSet<LabelId> = boxes.get(&image.id).into_iter().flatten().map(|b| b.label).collect();
            let rarest = labels.into_iter().min_by_key(|label| (counts.get(label).copied().unwrap_or(0), *label));
            let hash = hashes.get(&image.id).cloned().unwrap_or_default();
            groups.entry(rarest).or_default().push((order(&hash, seed), hash, image.id));
        }
        let chosen = choose(groups, val_fraction);
        let val = chosen.iter().filter(|(_, split)| *split == Split::Val).count();
        let train = chosen.len() - val;
        if !chosen.is_empty() {
            self.write(|transaction, file| set_split(transaction, file, chosen.into_iter()))?;
        }
        Ok((train, val))
    }
}

/// Gives every group its share, with what is lost by rounding carried to the next group, so that the
/// whole has its share too. Two images or more always leave at least one for each side.
fn choose(groups: BTreeMap<Option<LabelId>, Vec<(u64, String, ImageId)>>, val_fraction: f64) -> Vec<(ImageId, Split)> {
    let fraction = if val_fraction.is_finite() { val_fraction.clamp(0.0, 1.0) } else { 0.0 };
    let total: usize = groups.values().map(Vec::len).sum();
    let mut wanted = (total as f64 * fraction).round() as usize;
    if total >= 2 && fraction > 0.0 && fraction < 1.0 {
        wanted = wanted.clamp(1, total - 1);
    }
    let mut chosen = Vec::with_capacity(total);
    let (mut seen, mut given) = (0usize, 0usize);
    for mut group in groups.into_values() {
        group.sort();
        seen += group.len();
        // The share of all images so far, less what earlier groups gave.
        let share = ((seen as f64 / total as f64) * wanted as f64).round() as usize;
        let mut quota = share.saturating_sub(given).min(group.len());
        // Copies of one picture stay together, even where that is one too many.
        while quota > 0 && quota < group.len() && group[quota].1 == group[quota - 1].1 {
            quota += 1;
        }
        if quota == total && wanted < total {
            quota -= 1;
        }
        given += quota;
        chosen.extend(group.into_iter().enumerate().map(|(i, (_, _, id))| {
            let split = if i < quota { Split::Val } else { Split::Train };
            (id, split)
        }));
    }
    chosen
}

fn order(content: &str, seed: u64) -> u64 {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(content).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}
