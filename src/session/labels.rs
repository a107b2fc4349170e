//! The label map of a project: its file, its text, and what may be done to it.
//!
//! `label_map.pbtxt` is the truth and may be edited anywhere; the ledger in the database watches that
//! no id changes its owner. Adding, renaming and deleting a class touch only the bytes of that class,
//! so comments and whatever else the file says stay.

use std::collections::BTreeMap;

use boxwright_config::label_map;
use boxwright_config::proto::StringIntLabelMap;
use boxwright_config::text_format::{self, Document, Field, Span, Value};
use boxwright_core::{LabelId, LabelMap, LabelMapItem, Problem, Severity};
use boxwright_store::{Project, StoreError};

use crate::error::SessionError;
use crate::text_file::TextFile;

/// What errors call the file.
const FILE: &str = "label_map.pbtxt";

/// The label map of an open project.
#[derive(Debug)]
pub(crate) struct Labels {
    file: TextFile,
    map: LabelMap,
    /// Why the text on the disk is not a label map; the map is then the last good one.
    problem: Option<Problem>,
}

impl Labels {
    /// Reads the file and enters its classes into the ledger.
    pub fn load(project: &mut Project) -> Result<Self, SessionError> {
        let file = TextFile::load(&project.label_map_path())?;
        let mut labels = Self { file, map: LabelMap::default(), problem: None };
        labels.take_text(project);
        Ok(labels)
    }

    pub fn map(&self) -> &LabelMap {
        &self.map
    }

    pub fn text(&self) -> &str {
        self.file.text()
    }

    /// Takes in what another program wrote; true if there was something.
    pub fn poll(&mut self, project: &mut Project) -> bool {
        let changed = self.file.poll();
        if changed {
            self.take_text(project);
        }
        changed
    }

    fn take_text(&mut self, project: &mut Project) {
        match label_map::parse(self.file.text(), FILE) {
            Ok(map) => {
                let renamed = renamed(&self.map, &map);
                self.problem =
                    project.register_labels(&map, &renamed).err().map(|e| ledger_problem(self.file.text(), &e));
                self.map = map;
            }
            Err(error) => self.problem = Some(error.to_problem()),
        }
    }

    /// Adds a class at the end and returns its id.
    pub fn add(&mut self, project: &mut Project, name: &str) -> Result<LabelId, SessionError> {
        let name = name.trim();
        self.ensure_readable()?;
        let id = project
            .next_label_id(&self.map)?
            .ok_or_else(|| SessionError::Other(format!("no id is left: they end at {}", LabelId::MAX)))?;
        let mut map = self.map.clone();
        let item = LabelMapItem { id, name: name.to_owned(), display_name: None };
        map.insert(item.clone()).map_err(|e| self.error(e))?;
        self.write(project, &append(self.file.text(), &[item]), map, &[])?;
        Ok(id)
    }

    /// Gives a class another name.
    pub fn rename(&mut self, project: &mut Project, id: LabelId, name: &str) -> Result<(), SessionError> {
        let name = name.trim();
        self.ensure_readable()?;
        let mut items = self.map.items().to_vec();
        let item = items.iter_mut().find(|item| item.id == id).ok_or(SessionError::UnknownLabel(id))?;
        item.name = name.to_owned();
        let map = LabelMap::new(items).map_err(|e| self.error(e))?;
        let text = edit_item(self.file.text(), id, |document, item| {
            let name_field = named(document, &item.value, "name")?;
            Some(replaced(document.text(), name_field.value.span(), &quoted(name)))
        });
        let text = self.checked(text, &map)?;
        self.write(project, &text, map, &[id])
    }

    /// Takes a class without boxes out.
    pub fn delete(&mut self, project: &mut Project, id: LabelId) -> Result<(), SessionError> {
        self.ensure_readable()?;
        let item = self.map.get(id).ok_or(SessionError::UnknownLabel(id))?;
        if let Some(boxes) = project.label_counts()?.get(&id).copied() {
            return Err(SessionError::LabelInUse { name: item.name.clone(), boxes });
        }
        let items = self.map.items().iter().filter(|item| item.id != id).cloned();
        let map = LabelMap::new(items).map_err(|e| self.error(e))?;
        let text = edit_item(self.file.text(), id, |document, item| {
            Some(replaced(document.text(), whole_lines(document.text(), item.span()), ""))
        });
        let text = self.checked(text, &map)?;
        self.write(project, &text, map, &[])
    }

    /// Replaces the whole text.
    pub fn save(&mut self, project: &mut Project, text: &str) -> Result<(), SessionError> {
        let counts = project.label_counts()?;
        if let Some(problem) = self.problems(project, &counts, text).into_iter().find(|p| p.severity == Severity::Error)
        {
            return Err(SessionError::NotSaved(Box::new(problem)));
        }
        let map = label_map::parse(text, FILE).map_err(|e| SessionError::NotSaved(Box::new(e.to_problem())))?;
        let renamed = renamed(&self.map, &map);
        self.write(project, text, map, &renamed)
    }

    /// Everything that is wrong with a text as this project's label map.
    pub fn problems(&self, project: &Project, counts: &BTreeMap<LabelId, usize>, text: &str) -> Vec<Problem> {
        let map = match label_map::parse(text, FILE) {
            Ok(map) => map,
            Err(error) => return vec![error.to_problem()],
        };
        let mut problems = Vec::new();
        if let Err(error) = project.check_labels(&map, &renamed(&self.map, &map)) {
            problems.push(ledger_problem(text, &error));
        }
        for (id, boxes) in counts {
            if map.get(*id).is_none() {
                let name =
                    self.map.get(*id).map_or_else(|| format!("the class with id {id}"), |i| format!("\"{}\"", i.name));
                let many = if *boxes == 1 { "" } else { "es" };
                problems.push(Problem {
                    severity: Severity::Error,
                    code: "label-in-use".into(),
                    file: FILE.into(),
                    place: String::new(),
                    message: format!("{name} is missing and still has {boxes} box{many}"),
                    fix: format!("keep its item (id {id}), or give its boxes another class first"),
                });
            }
        }
        problems
    }

    fn ensure_readable(&self) -> Result<(), SessionError> {
        match &self.problem {
            Some(problem) => Err(SessionError::NotSaved(Box::new(problem.clone()))),
            None => Ok(()),
        }
    }

    fn error(&self, source: boxwright_core::LabelMapError) -> SessionError {
        SessionError::LabelMap { file: self.file.path().to_owned(), source }
    }

    /// An edited text, if it says exactly what it should; else the map printed anew over the old text.
    fn checked(&self, text: Option<String>, map: &LabelMap) -> Result<String, SessionError> {
        match text {
            Some(text) if label_map::parse(&text, FILE).is_ok_and(|parsed| parsed == *map) => Ok(text),
            _ => Ok(label_map::print_over(map, self.file.text(), FILE).map_err(boxwright_config::ConfigError::from)?),
        }
    }

    /// The ledger first: a class that is in the ledger and not in the file is harmless, the other way
    /// round an id could be given twice.
    fn write(
        &mut self,
        project: &mut Project,
        text: &str,
        map: LabelMap,
        renamed: &[LabelId],
    ) -> Result<(), SessionError> {
        project.register_labels(&map, renamed)?;
        self.file.save(text)?;
        self.map = map;
        self.problem = None;
        Ok(())
    }
}

/// Which classes of `new` are classes of `old` under another name: the id was there before, its old
/// name is nobody else's now, and its new name was nobody else's then.
pub(crate) fn renamed(old: &LabelMap, new: &LabelMap) -> Vec<LabelId> {
    let is_rename = |item: &&LabelMapItem| {
        old.get(item.id).is_some_and(|before| before.name != item.name && new.by_name(&before.name).is_none())
            && old.by_name(&item.name).is_none()
    };
    new.items().iter().filter(is_rename).map(|item| item.id).collect()
}

/// The text with classes added at its end.
pub(crate) fn append(text: &str, items: &[LabelMapItem]) -> String {
    let mut text = text.to_owned();
    if !items.is_empty() && !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for item in items {
        // One by one, so that a map of its own cannot be refused.
        if let Ok(one) = LabelMap::new([item.clone()]) {
            text.push_str(&label_map::print(&one));
        }
    }
    text
}

/// A finding for an id that belongs to another name, at the line of that id.
fn ledger_problem(text: &str, error: &StoreError) -> Problem {
    let (place, fix) = match error {
        StoreError::LabelIdTaken { id, name, free, .. } => {
            (place_of(text, *id), format!("give \"{name}\" the id {free}"))
        }
        _ => (String::new(), String::new()),
    };
    Problem {
        severity: Severity::Error,
        code: "label-id-taken".into(),
        file: FILE.into(),
        place,
        message: error.to_string(),
        fix,
    }
}

fn place_of(text: &str, id: LabelId) -> String {
    let place = || {
        let document = Document::parse(text, FILE).ok()?;
        let item = item_with(&document, id)?;
        let at = named(&document, &item.value, "id").unwrap_or(item).name.start;
        Some(document.position(at).to_string())
    };
    place().unwrap_or_default()
}

/// Edits the bytes of one item, if the text gives its items one by one.
fn edit_item(text: &str, id: LabelId, edit: impl FnOnce(&Document, &Field) -> Option<String>) -> Option<String> {
    let document = Document::parse(text, FILE).ok()?;
    let item = item_with(&document, id)?;
    edit(&document, item)
}

fn item_with(document: &Document, id: LabelId) -> Option<&Field> {
    let message: StringIntLabelMap = text_format::parse(document.text(), FILE).ok()?;
    let place = message.item.iter().position(|item| u32::try_from(item.id()) == Ok(id.get()))?;
    let items: Vec<&Field> = document.fields().iter().filter(|f| document.slice(f.name) == "item").collect();
    let one_by_one = items.iter().all(|item| matches!(item.value, Value::Block(_)));
    if one_by_one { items.get(place).copied() } else { None }
}

fn named<'a>(document: &Document, block: &'a Value, name: &str) -> Option<&'a Field> {
    let Value::Block(block) = block else { return None };
    block.fields.iter().rev().find(|field| document.slice(field.name) == name)
}

fn replaced(text: &str, span: Span, with: &str) -> String {
    format!("{}{with}{}", &text[..span.start], &text[span.end..])
}

/// The span with the rest of its lines, where nothing else stands in them.
fn whole_lines(text: &str, span: Span) -> Span {
    let start = text[..span.start].rfind('\n').map_or(0, |i| i + 1);
    let end = text[span.end..].find('\n').map_or(text.len(), |i| span.end + i + 1);
    let alone = text[start..span.start].trim().is_empty() && text[span.end..end].trim().is_empty();
    if alone { Span { start, end } } else { span }
}

fn quoted(name: &str) -> String {
    let mut text = String::from("\"");
    for c in name.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# our classes\nitem {\n  id: 1 # the first\n  name: 'cat'\n  display_name: 'Cat'\n}\n# two\nitem {\n  name: \"dog\"\n  id: 2\n}\n";

    fn project(text: &str) -> (tempfile::TempDir, Project, Labels) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut project = Project::create(dir.path()).expect("a project");
        std::fs::write(project.label_map_path(), text).expect("written");
        let labels = Labels::load(&mut project).expect("read");
        (dir, project, labels)
    }

    fn id(number: u32) -> LabelId {
        LabelId::new(number).expect("an id")
    }

    #[test]
    fn only_the_bytes_of_the_class_change() {
        let (_dir, mut project, mut labels) = project(TEXT);
        labels.rename(&mut project, id(1), "big \"cat\"").expect("renamed");
        assert_eq!(labels.text(), TEXT.replace("'cat'", "\"big \\\"cat\\\"\""));
        assert_eq!(labels.add(&mut project, " bird ").expect("added"), id(3));
        assert!(labels.text().ends_with("  id: 2\n}\nitem {\n  name: \"bird\"\n  id: 3\n}\n"));
        labels.delete(&mut project, id(2)).expect("deleted");
        assert!(labels.text().contains("# two\nitem {\n  name: \"bird\""), "{}", labels.text());
        assert_eq!(std::fs::read_to_string(project.label_map_path()).expect("read"), labels.text());
        assert_eq!(labels.add(&mut project, "dog").expect("added"), id(4), "2 is never given again");
    }

    #[test]
    fn items_in_a_list_are_printed_anew() {
        let (_dir, mut project, mut labels) = project("item: [{id: 1 name: 'a'}, {id: 2 name: 'b'}]");
        labels.rename(&mut project, id(2), "c").expect("renamed");
        assert_eq!(label_map::parse(labels.text(), FILE).expect("a map").items()[1].name, "c");
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let (_dir, mut project, mut labels) = project(TEXT);
        for name in ["", "  ", "dog"] {
            assert!(matches!(labels.add(&mut project, name), Err(SessionError::LabelMap { .. })), "{name}");
        }
        assert!(matches!(labels.rename(&mut project, id(1), "dog"), Err(SessionError::LabelMap { .. })));
        assert!(matches!(labels.rename(&mut project, id(9), "x"), Err(SessionError::UnknownLabel(_))));
        assert_eq!(labels.text(), TEXT);
    }

    #[test]
    fn an_id_that_changes_its_owner_is_told_at_its_line() {
        let (_dir, mut project, mut labels) = project(TEXT);
        let swapped = TEXT.replace("'cat'", "'x'").replace("\"dog\"", "\"cat\"").replace("'x'", "'dog'");
        let problems = labels.problems(&project, &BTreeMap::new(), &swapped);
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].code.as_str(), problems[0].place.as_str()), ("label-id-taken", "line 3, column 3"));
        assert!(problems[0].fix.contains("the id 3"), "{}", problems[0].fix);
        assert!(matches!(labels.save(&mut project, &swapped), Err(SessionError::NotSaved(_))));

        let renamed = TEXT.replace("\"dog\"", "\"hound\"");
        labels.save(&mut project, &renamed).expect("a rename is one");
        assert_eq!(labels.map().get(id(2)).map(|i| i.name.as_str()), Some("hound"));
        let without = "item { id: 1 name: 'cat' }";
        labels.save(&mut project, without).expect("2 has no boxes");
        let again = "item { id: 1 name: 'cat' } item { id: 2 name: 'bird' }";
        assert_eq!(labels.problems(&project, &BTreeMap::new(), again)[0].code, "label-id-taken");
        let in_use = BTreeMap::from([(id(7), 3)]);
        assert!(labels.problems(&project, &in_use, without)[0].message.contains("3 boxes"));
    }

    #[test]
    fn what_another_editor_wrote_is_taken_in() {
        let (_dir, mut project, mut labels) = project(TEXT);
        assert!(!labels.poll(&mut project));
        std::fs::write(project.label_map_path(), "item { id: 1 name: 'cat' } item { broken").expect("written");
        assert!(labels.poll(&mut project));
        assert_eq!(labels.map().len(), 2, "the last good map stays");
        assert!(matches!(labels.add(&mut project, "x"), Err(SessionError::NotSaved(_))), "nothing is overwritten");
        std::fs::write(project.label_map_path(), "item { id: 5 name: 'fox' }").expect("written");
        assert!(labels.poll(&mut project));
        assert_eq!(labels.map().items()[0].id, id(5));
        assert_eq!(labels.add(&mut project, "x").expect("added"), id(6));
    }
}
