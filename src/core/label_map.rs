//! Labels: the ids of the label map, the indices of the tensors, and the only place that converts.
//!
//! A [`LabelId`] counts from 1, as in `label_map.pbtxt` and in every record; 0 is the background.
//! A [`ClassIndex`] counts from 0, as in the class columns of a model without background. TFOD
//! relates the two by subtracting one (its `label_id_offset`), gaps included: COCO's map has 80
//! names, 90 ids and 90 columns.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The id of a class in the label map, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct LabelId(u32);

impl LabelId {
    /// The largest id that is accepted: a label map decides how wide the class head is, so a typing
    /// error in an id must not ask for gigabytes.
    pub const MAX: u32 = 100_000;

    /// An id, if it is at least 1 and at most [`LabelId::MAX`].
    pub const fn new(id: u32) -> Option<Self> {
        if id >= 1 && id <= Self::MAX { Some(Self(id)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for LabelId {
    type Error = String;

    fn try_from(id: u32) -> Result<Self, String> {
        Self::new(id).ok_or_else(|| format!("label id {id} is not between 1 and {}", Self::MAX))
    }
}

impl From<LabelId> for u32 {
    fn from(id: LabelId) -> u32 {
        id.0
    }
}

impl std::fmt::Display for LabelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The column of a class in a tensor, from 0, without background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassIndex(pub usize);

/// One class: its id, its name in the annotation files and the name shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelMapItem {
    /// The id, unique in the map.
    pub id: LabelId,
    /// The name, unique in the map.
    pub name: String,
    /// What people read instead of the name, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Why an item cannot be in a label map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelMapError {
    /// Two classes with one id.
    #[error("label id {id} is given to both \"{first}\" and \"{second}\"; give one of them another id")]
    DuplicateId {
        /// The id.
        id: LabelId,
        /// The class that had it.
        first: String,
        /// The class that asked for it.
        second: String,
    },
    /// Two classes with one name.
    #[error("the name \"{name}\" stands for both label id {first} and {second}; rename one or delete it")]
    DuplicateName {
        /// The name.
        name: String,
        /// The id that had it.
        first: LabelId,
        /// The id that asked for it.
        second: LabelId,
    },
    /// A class without a name.
    #[error("label id {id} has an empty name")]
    EmptyName {
        /// The id.
        id: LabelId,
    },
}

/// The classes of a project or a model, in the order of the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<LabelMapItem>", into = "Vec<LabelMapItem>")]
pub struct LabelMap {
    items: Vec<LabelMapItem>,
    /// Places in `items`, so that maps of many thousand classes stay quick.
    by_id: HashMap<LabelId, usize>,
    by_name: HashMap<String, usize>,
}

impl PartialEq for LabelMap {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl Eq for LabelMap {}

impl TryFrom<Vec<LabelMapItem>> for LabelMap {
    type Error = LabelMapError;

    fn try_from(items: Vec<LabelMapItem>) -> Result<Self, LabelMapError> {
        Self::new(items)
    }
}

impl From<LabelMap> for Vec<LabelMapItem> {
    fn from(map: LabelMap) -> Self {
        map.items
    }
}

impl LabelMap {
    /// A map of these items.
    ///
    /// # Errors
    /// The first duplicate id, duplicate name or empty name.
    pub fn new(items: impl IntoIterator<Item = LabelMapItem>) -> Result<Self, LabelMapError> {
        let mut map = Self::default();
        for item in items {
            map.insert(item)?;
        }
        Ok(map)
    }

    /// Classes `1, 2, …` with these names.
    ///
    /// # Errors
    /// A duplicate or empty name.
    pub fn from_names<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, LabelMapError> {
        Self::new((1..).zip(names).map(|(id, name)| LabelMapItem {
            id: LabelId(id),
            name: name.into(),
            display_name: None,
        }))
    }

    /// Adds a class at the end.
    ///
    /// # Errors
    /// A duplicate id, a duplicate name or an empty name.
    pub fn insert(&mut self, item: LabelMapItem) -> Result<(), LabelMapError> {
        if item.name.trim().is_empty() {
            return Err(LabelMapError::EmptyName { id: item.id });
        }
        if let Some(first) = self.get(item.id) {
            return Err(LabelMapError::DuplicateId { id: item.id, first: first.name.clone(), second: item.name });
        }
        if let Some(first) = self.by_name(&item.name) {
            return Err(LabelMapError::DuplicateName { name: item.name, first: first.id, second: item.id });
        }
        self.by_id.insert(item.id, self.items.len());
        self.by_name.insert(item.name.clone(), self.items.len());
        self.items.push(item);
        Ok(())
    }

    /// All classes, in the order of the file.
    pub fn items(&self) -> &[LabelMapItem] {
        &self.items
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The class with this id.
    pub fn get(&self, id: LabelId) -> Option<&LabelMapItem> {
        self.by_id.get(&id).map(|&place| &self.items[place])
    }

    /// The class with this name (not its display name).
    pub fn by_name(&self, name: &str) -> Option<&LabelMapItem> {
        self.by_name.get(name).map(|&place| &self.items[place])
    }

    /// What people read for this id: display name, name, or the number where the map lacks it.
    pub fn display_name(&self, id: LabelId) -> String {
        match self.get(id) {
            Some(item) => item.display_name.clone().unwrap_or_else(|| item.name.clone()),
            None => format!("id {id}"),
        }
    }

    /// The largest id, which is the number of class columns that TFOD gives a model
    /// (`label_map_util.get_max_label_map_index`); 0 for an empty map.
    pub fn max_id(&self) -> u32 {
        self.items.iter().map(|item| item.id.get()).max().unwrap_or(0)
    }

    /// The column of a class, whether or not the map names it.
    pub fn class_index(id: LabelId) -> ClassIndex {
        ClassIndex(id.get() as usize - 1)
    }

    /// The id of a column.
    pub fn label_id(index: ClassIndex) -> Option<LabelId> {
        u32::try_from(index.0).ok().and_then(|i| i.checked_add(1)).and_then(LabelId::new)
    }

    /// The nearest name in the map to one that it lacks, for "did you mean"; `None` where nothing is near.
    pub fn nearest_name(&self, name: &str) -> Option<&str> {
        let lower = name.to_lowercase();
        self.items
            .iter()
            .map(|item| (edit_distance(&lower, &item.name.to_lowercase()), item.name.as_str()))
            .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
            .min()
            .map(|(_, name)| name)
    }
}

/// Levenshtein's distance between two words, in characters.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitution = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_start_at_one_and_columns_at_zero() {
        assert_eq!(LabelId::new(0), None);
        let id = LabelId::new(1).expect("1 is an id");
        assert_eq!(LabelMap::class_index(id), ClassIndex(0));
        assert_eq!(LabelMap::label_id(ClassIndex(0)), Some(id));
        assert_eq!(LabelMap::label_id(ClassIndex(usize::MAX)), None);
    }

    #[test]
    fn duplicates_and_empty_names_are_refused() {
        assert!(matches!(LabelMap::from_names(["cat", "cat"]), Err(LabelMapError::DuplicateName { .. })));
        assert!(matches!(LabelMap::from_names([" "]), Err(LabelMapError::EmptyName { .. })));
        let mut map = LabelMap::from_names(["cat"]).expect("one class");
        let id = LabelId::new(1).expect("1 is an id");
        let twice = LabelMapItem { id, name: "dog".into(), display_name: None };
        assert!(matches!(map.insert(twice), Err(LabelMapError::DuplicateId { .. })));
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn gaps_count_as_columns() {
        let item = |id, name: &str| LabelMapItem {
            id: LabelId::new(id).expect("an id"),
            name: name.into(),
            display_name: None,
        };
        let map = LabelMap::new([item(1, "person"), item(90, "toothbrush")]).expect("valid");
        assert_eq!((map.len(), map.max_id()), (2, 90));
    }

    #[test]
    fn a_near_name_is_proposed_and_a_far_one_is_not() {
        let map = LabelMap::from_names(["raccoon", "cat"]).expect("valid");
        assert_eq!(map.nearest_name("Racoon"), Some("raccoon"));
        assert_eq!(map.nearest_name("submarine"), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
