//! `label_map.pbtxt`: text ⇄ [`LabelMap`].
//!
//! TFOD's rules (`label_map_util`): ids count from 1; 0 is the background and may only be written
//! down as an item named `background`, which is not a class and is left out here. Stricter than
//! TFOD, two classes may not share an id or a name, because a box would then belong to either.
//!
//! An item may say more than a label map knows (keypoints, ancestors, LVIS frequencies);
//! [`print_over`] keeps that.

use std::collections::HashMap;
use std::path::Path;

use boxwright_core::{LabelId, LabelMap, LabelMapError, LabelMapItem};

use crate::error::ConfigError;
use crate::pipeline::read_limited;
use crate::proto::{StringIntLabelMap, StringIntLabelMapItem};
use crate::text_format::{self, Document, TextError, TextErrorKind, Value};

/// Reads a file.
///
/// # Errors
/// The file cannot be read, is far too large, or its text is not a label map.
pub fn read(path: impl AsRef<Path>) -> Result<LabelMap, ConfigError> {
    let path = path.as_ref();
    let bytes = read_limited(path)?;
    let file = path.display().to_string();
    Ok(parse(text_format::decode(&bytes, &file)?, &file)?)
}

/// Reads a text; `file` is what errors call it.
///
/// # Errors
/// The first item that cannot be in a label map, at the line of the field that says so.
pub fn parse(text: &str, file: &str) -> Result<LabelMap, TextError> {
    let (message, document): (StringIntLabelMap, _) = text_format::parse_with_places(text, file)?;
    let blocks = document.named(document.fields(), "item");
    let mut items = Vec::with_capacity(message.item.len());
    let (mut ids, mut names) = (HashMap::new(), HashMap::new());
    for (index, (item, (_, block))) in message.item.iter().zip(&blocks).enumerate() {
        let Some(item) = class(item, index, block, &document)? else { continue };
        let (id, name) = (item.id, item.name.clone());
        if let Some(first) = ids.insert(id, name.clone()) {
            let error = LabelMapError::DuplicateId { id, first, second: name };
            return Err(at(&document, block, "id", error.to_string(), ""));
        }
        if let Some(first) = names.insert(name.clone(), id) {
            let error = LabelMapError::DuplicateName { name, first, second: id };
            return Err(at(&document, block, "name", error.to_string(), ""));
        }
        items.push(item);
    }
    LabelMap::new(items).map_err(|error| document.error(0, TextErrorKind::Inconsistent, error.to_string(), ""))
}

/// The item's class; none for the background.
fn class(
    item: &StringIntLabelMapItem,
    index: usize,
    block: &Value,
    document: &Document,
) -> Result<Option<LabelMapItem>, TextError> {
    let name = item.name();
    let display_name = item.display_name.as_deref();
    let who = if name.trim().is_empty() { format!("item {}", index + 1) } else { format!("\"{name}\"") };
    if item.id.is_none() {
        let fix = "add `id: 1`, or the next number that no other item has";
        return Err(at(document, block, "id", format!("{who} has no id"), fix));
    }
    if item.id() == 0 {
        if name == "background" || display_name == Some("background") {
            return Ok(None);
        }
        let message = format!("{who} has the id 0, which belongs to the background");
        return Err(at(document, block, "id", message, "count ids from 1"));
    }
    let Some(id) = u32::try_from(item.id()).ok().and_then(LabelId::new) else {
        let message = format!("{who} has the id {}, which is not between 1 and {}", item.id(), LabelId::MAX);
        return Err(at(document, block, "id", message, "count ids from 1"));
    };
    if name.trim().is_empty() {
        let fix = "add `name: \"…\"` with the word that the annotations use";
        return Err(at(document, block, "name", format!("the item with id {id} has no name"), fix));
    }
    let display_name = display_name.filter(|display| !display.is_empty() && *display != name).map(str::to_owned);
    Ok(Some(LabelMapItem { id, name: name.to_owned(), display_name }))
}

/// An error at a field of an item, or at the item where it lacks the field.
fn at(document: &Document, block: &Value, field: &str, message: impl Into<String>, fix: &str) -> TextError {
    let offset = match block {
        Value::Block(block) => document.named(&block.fields, field).last().map(|(field, _)| field.name.start),
        _ => None,
    };
    document.error(offset.unwrap_or(block.span().start), TextErrorKind::Inconsistent, message, fix)
}

/// The map as a `label_map.pbtxt`.
pub fn print(map: &LabelMap) -> String {
    text_format::print_message(&StringIntLabelMap {
        item: map.items().iter().map(|item| printed(item, None)).collect(),
    })
}

/// The map as a `label_map.pbtxt` that keeps what the previous text says beyond names and ids:
/// keypoints, hierarchy, LVIS frequencies and a background item. Comments are lost.
///
/// # Errors
/// The previous text is not in the format.
pub fn print_over(map: &LabelMap, previous: &str, file: &str) -> Result<String, TextError> {
    let previous: StringIntLabelMap = text_format::parse(previous, file)?;
    let by_id: HashMap<i32, &StringIntLabelMapItem> = previous.item.iter().map(|item| (item.id(), item)).collect();
    let background = previous.item.iter().filter(|item| item.id() == 0).cloned();
    let classes = map
        .items()
        .iter()
        .map(|item| printed(item, i32::try_from(item.id.get()).ok().and_then(|id| by_id.get(&id).copied())));
    Ok(text_format::print_message(&StringIntLabelMap { item: background.chain(classes).collect() }))
}

fn printed(item: &LabelMapItem, previous: Option<&StringIntLabelMapItem>) -> StringIntLabelMapItem {
    // A display name that only repeated the name goes on repeating it.
    let repeats =
        previous.is_some_and(|previous| previous.display_name.is_some() && previous.display_name == previous.name);
    StringIntLabelMapItem {
        name: Some(item.name.clone()),
        id: i32::try_from(item.id.get()).ok(),
        display_name: item.display_name.clone().or_else(|| repeats.then(|| item.name.clone())),
        ..previous.cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, "map.pbtxt").expect_err("not a label map").to_string()
    }

    #[test]
    fn text_and_map() {
        let text = "item {\n  name: \"raccoon\"\n  id: 3\n  display_name: \"Raccoon\"\n}\nitem {\n  name: \"it\\\'s\"\n  id: 1\n}\n";
        let map = parse(text, "map.pbtxt").expect("a label map");
        assert_eq!(map.items().iter().map(|item| item.id.get()).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(map.items()[0].display_name.as_deref(), Some("Raccoon"));
        assert_eq!(map.items()[1].name, "it's");
        assert_eq!(print(&map), text);
        let loose =
            parse("item:<name:'raccoon',id:3;display_name:'Raccoon'>item{id:0x1 name:'it' \"'s\"}", "map.pbtxt");
        assert_eq!(loose.expect("a label map"), map);
    }

    #[test]
    fn the_background_is_not_a_class() {
        let text = "item { id: 0 name: 'background' } item { id: 1 name: 'cat' }";
        let map = parse(text, "map.pbtxt").expect("a label map");
        assert_eq!(map.len(), 1);
        assert!(
            print_over(&map, text, "map.pbtxt")
                .expect("printed")
                .starts_with("item {\n  name: \"background\"\n  id: 0\n}\n")
        );
        assert!(error("item { id: 0 name: 'cat' }").starts_with("map.pbtxt:1:8: \"cat\" has the id 0"));
    }

    #[test]
    fn what_the_map_does_not_know_is_kept() {
        let text = "item { id: 1 name: 'cat' display_name: 'cat' ancestor_ids: 7 keypoints { id: 2 label: 'nose' } }";
        let map = LabelMap::from_names(["kitten"]).expect("valid");
        let printed = print_over(&map, text, "map.pbtxt").expect("printed");
        assert_eq!(
            printed,
            "item {\n  name: \"kitten\"\n  id: 1\n  display_name: \"kitten\"\n  keypoints {\n    id: 2\n    label: \"nose\"\n  }\n  ancestor_ids: 7\n}\n"
        );
    }

    #[test]
    fn errors_say_where() {
        assert!(
            error("item {\n  id: 1\n  name: 'a'\n}\nitem {\n  name: 'b'\n  id: 1\n}")
                .starts_with("map.pbtxt:7:3: label id 1")
        );
        assert!(
            error("item {\n  id: 1\n  name: 'a'\n}\nitem {\n  name: 'a'\n  id: 2\n}")
                .starts_with("map.pbtxt:6:3: the name \"a\"")
        );
        assert!(error("item { id: 1 }").starts_with("map.pbtxt:1:6: the item with id 1 has no name"));
        assert!(error("item { id: 1 name: ' ' }").starts_with("map.pbtxt:1:14: the item with id 1 has no name"));
        assert!(error("item { name: 'a' }").starts_with("map.pbtxt:1:6: \"a\" has no id"));
        assert!(error("item { name: 'a' id: -1 }").starts_with("map.pbtxt:1:18: \"a\" has the id -1"));
        assert!(error("item { name: 'a' id: 2000000000 }").contains("not between 1 and"));
        assert!(
            error("item {\n nmae: 'a' id: 1 }")
                .starts_with("map.pbtxt:2:2: StringIntLabelMapItem has no field `nmae`; did you mean `name`?")
        );
        let bytes = text_format::decode(b"item {\n name: '\xff' }", "map.pbtxt").expect_err("not UTF-8");
        assert!(bytes.to_string().starts_with("map.pbtxt:2:9: byte 0xFF is not UTF-8"), "{bytes}");
        assert_eq!(text_format::decode(b"\xEF\xBB\xBFitem {}", "map.pbtxt"), Ok("item {}"));
    }
}
