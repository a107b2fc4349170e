//! Pascal VOC: one XML file a picture.
//!
//! Read are the files of the challenge itself, of labelImg, and of the many programs that write
//! almost the same: coordinates with decimals, missing optional elements, boxes before names, nested
//! `part`s (which are not objects and are ignored), unknown elements. Written is what labelImg
//! writes. Coordinates are taken as they stand, without subtracting the 1 at which VOC starts to
//! count, as TFOD's `create_pascal_tf_record.py` and labelImg do.
//!
//! A file is data from anywhere: its size, its depth and the number of its objects are limited,
//! entities are not expanded beyond the five of XML itself, and a fault is told with its line.
//! VOC knows no group flag, so [`BoxFlags::group_of`] is not written.

use std::borrow::Cow;
use std::fmt::Write as _;

use boxwright_core::{BoxFlags, ImageSize, PixelBox, Problem, Severity};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// The largest annotation file that is read.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// How many objects one file may hold.
pub const MAX_OBJECTS: usize = 100_000;
/// How many problems of one file are told; the rest is counted.
const MAX_PROBLEMS: usize = 200;
/// How deep elements may be nested; a VOC file needs five levels.
const MAX_DEPTH: usize = 32;

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VocAnnotation {
    /// The folder of the picture, as the file gives it.
    pub folder: Option<String>,
    /// The name of the picture's file.
    pub filename: Option<String>,
    /// The picture's path on the machine where it was annotated.
    pub path: Option<String>,
    /// The size of the picture, where the file gives one that is possible.
    pub size: Option<ImageSize>,
    /// Whether somebody pressed "verify" in labelImg.
    pub verified: bool,
    /// The objects, in the order of the file.
    pub objects: Vec<VocObject>,
}

/// One object of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct VocObject {
    /// The name of its class.
    pub name: String,
    /// Its place, as it stands; perhaps degenerate, perhaps outside of the picture.
    pub bounds: PixelBox,
    /// Difficult, truncated, occluded.
    pub flags: BoxFlags,
    /// Pose, `Unspecified` where the file does not say.
    pub pose: String,
    /// The line on which the object starts, from 1.
    pub line: usize,
}

/// Why a file cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VocError {
    /// Not well-formed, or not safe.
    #[error("{file}, line {line}, column {column}: {reason}")]
    Xml {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// An XML file of another kind.
    #[error(
        "{file}, line {line}: the file starts with <{root}> and not with <annotation>, so it is no Pascal VOC annotation"
    )]
    NotVoc {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The name of the outermost element.
        root: String,
    },
    /// No element at all.
    #[error("{file} is empty: there is no <annotation> in it")]
    Empty {
        /// The file.
        file: String,
    },
}

impl VocError {
    /// The error as a finding of a check.
    pub fn to_problem(&self) -> Problem {
        let (file, place, message) = match self {
            Self::Xml { file, line, column, reason } => (file, format!("line {line}, column {column}"), reason.clone()),
            Self::NotVoc { file, line, root } => {
                (file, format!("line {line}"), format!("the file starts with <{root}> and not with <annotation>"))
            }
            Self::Empty { file } => (file, String::new(), "there is no <annotation> in it".to_owned()),
        };
        Problem {
            severity: Severity::Error,
            code: "unreadable-annotation".into(),
            file: file.clone(),
            place,
            message,
            fix: "repair the file or annotate the picture again; the other files were read".into(),
        }
    }
}

/// Reads one file. Objects that say too little to be boxes are left out and told as problems; what is
/// wrong with a box in its picture (degenerate, outside) is for the caller, who knows the picture.
///
/// # Errors
/// The bytes are not XML, not VOC, or beyond the limits.
pub fn parse(bytes: &[u8], file: &str) -> Result<(VocAnnotation, Vec<Problem>), VocError> {
    let text = to_text(bytes, file)?;
    let mut parser = Parser::new(&text, file);
    parser.run()?;
    Ok((parser.annotation, parser.problems))
}

/// The bytes as text: UTF-8, UTF-16 with its mark, or Latin-1 where the file says so.
fn to_text<'a>(bytes: &'a [u8], file: &str) -> Result<Cow<'a, str>, VocError> {
    let refuse = |line, column, reason: &str| VocError::Xml { file: file.into(), line, column, reason: reason.into() };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refuse(1, 1, &format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    let utf16 = |pair: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes[2..].as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|&p| pair(p)).collect();
        match String::from_utf16(&units) {
            Ok(text) if rest.is_empty() => Ok(Cow::Owned(text)),
            _ => Err(refuse(1, 1, "the file is marked as UTF-16 and is not")),
        }
    };
    match bytes {
        [0xFE, 0xFF, ..] => return utf16(u16::from_be_bytes),
        [0xFF, 0xFE, ..] => return utf16(u16::from_le_bytes),
        _ => {}
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).to_lowercase();
            if ["8859-1\"", "8859-1'", "latin1", "latin-1", "windows-1252"].iter().any(|name| start.contains(name)) {
                return Ok(Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()));
            }
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
            let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
            Err(refuse(line, column, "this is not UTF-8 text; save the file as UTF-8"))
        }
    }
}

/// An object while its elements come in.
#[derive(Default)]
struct Draft {
    line: usize,
    name: String,
    pose: String,
    flags: BoxFlags,
    /// `ymin, xmin, ymax, xmax`.
    edges: [Option<f64>; 4],
    /// A coordinate that is no number: its element, its text, its line.
    bad: Option<(String, String, usize)>,
}

const EDGES: [&str; 4] = ["ymin", "xmin", "ymax", "xmax"];

struct Parser<'a> {
    file: &'a str,
    text: &'a str,
    /// Where each line starts.
    lines: Vec<usize>,
    /// The names of the open elements.
    path: Vec<String>,
    /// The text of the innermost one.
    value: String,
    value_line: usize,
    width: Option<u32>,
    height: Option<u32>,
    draft: Option<Draft>,
    drafts: usize,
    seen_root: bool,
    annotation: VocAnnotation,
    problems: Vec<Problem>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, file: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Self {
            file,
            text,
            lines: lines.collect(),
            path: Vec::new(),
            value: String::new(),
            value_line: 1,
            width: None,
            height: None,
            draft: None,
            drafts: 0,
            seen_root: false,
            annotation: VocAnnotation::default(),
            problems: Vec::new(),
        }
    }

    /// Line and column of a byte, both from 1.
    fn locate(&self, offset: u64) -> (usize, usize) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        let line = self.lines.partition_point(|&start| start <= offset).max(1);
        (line, offset - self.lines[line - 1] + 1)
    }

    fn refuse(&self, offset: u64, reason: impl Into<String>) -> VocError {
        let (line, column) = self.locate(offset);
        VocError::Xml { file: self.file.into(), line, column, reason: reason.into() }
    }

    fn run(&mut self) -> Result<(), VocError> {
        let mut reader = Reader::from_str(self.text);
        reader.config_mut().expand_empty_elements = true;
        loop {
            let start = reader.buffer_position();
            let event = reader.read_event().map_err(|error| self.refuse(reader.error_position(), error.to_string()))?;
            match event {
                Event::Start(element) => {
                    let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
                    let verified = matches!(
                        element.try_get_attribute("verified"),
                        Ok(Some(attribute)) if attribute.value.eq_ignore_ascii_case(b"yes")
                    );
                    self.open(name, verified, start)?;
                }
                Event::End(_) => self.close(start)?,
                Event::Text(text) => {
                    self.value.push_str(&text.decode().map_err(|e| self.refuse(start, e.to_string()))?)
                }
                Event::CData(text) => {
                    self.value.push_str(&text.decode().map_err(|e| self.refuse(start, e.to_string()))?);
                }
                Event::GeneralRef(reference) => {
                    let c = resolve(&reference).map_err(|reason| self.refuse(start, reason))?;
                    self.value.push(c);
                }
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Empty(_) => {}
            }
        }
        if let Some(open) = self.path.last() {
            return Err(self.refuse(self.text.len() as u64, format!("the file ends before </{open}>; it is cut off")));
        }
        if !self.seen_root {
            return Err(VocError::Empty { file: self.file.into() });
        }
        self.annotation.size = match (self.width, self.height) {
            (Some(width), Some(height)) => Some(ImageSize::new(width, height)),
            _ => None,
        };
        Ok(())
    }

    fn open(&mut self, name: String, verified: bool, start: u64) -> Result<(), VocError> {
        let (line, _) = self.locate(start);
        if self.path.is_empty() {
            if name != "annotation" {
                return Err(VocError::NotVoc { file: self.file.into(), line, root: name.chars().take(40).collect() });
            }
            self.seen_root = true;
            self.annotation.verified = verified;
        }
        if self.path.len() >= MAX_DEPTH {
            return Err(self.refuse(start, format!("elements are nested more than {MAX_DEPTH} deep")));
        }
        self.path.push(name);
        self.value.clear();
        self.value_line = line;
        if self.path.len() == 2 && self.path[1] == "object" {
            self.drafts += 1;
            if self.drafts > MAX_OBJECTS {
                return Err(self.refuse(start, format!("there are more than {MAX_OBJECTS} objects")));
            }
            self.draft = Some(Draft { line, pose: "Unspecified".into(), ..Draft::default() });
        }
        Ok(())
    }

    fn close(&mut self, start: u64) -> Result<(), VocError> {
        let value = std::mem::take(&mut self.value);
        let value = value.trim();
        let path: Vec<&str> = self.path.iter().skip(1).map(String::as_str).collect();
        match path.as_slice() {
            ["folder"] => self.annotation.folder = some_text(value),
            ["filename"] => self.annotation.filename = some_text(value),
            ["path"] => self.annotation.path = some_text(value),
            ["size", "width"] => self.width = side(value),
            ["size", "height"] => self.height = side(value),
            ["object"] => {
                let draft = self.draft.take();
                self.finish(draft.unwrap_or_default());
            }
            ["object", rest @ ..] => {
                if let Some(draft) = &mut self.draft {
                    draft.set(rest, value, self.value_line);
                }
            }
            _ => {}
        }
        match self.path.pop() {
            Some(_) => Ok(()),
            None => Err(self.refuse(start, "an element ends that never began")),
        }
    }

    fn finish(&mut self, draft: Draft) {
        let number = self.drafts;
        let mut tell = |code: &str, line: usize, message: String, fix: &str| {
            if self.problems.len() == MAX_PROBLEMS {
                self.problems.push(Problem {
                    severity: Severity::Error,
                    code: "more-problems".into(),
                    file: self.file.into(),
                    place: format!("from line {line}"),
                    message: "more objects of this file are left out for the same kind of reasons".into(),
                    fix: "repair the ones above first".into(),
                });
            }
            if self.problems.len() < MAX_PROBLEMS {
                self.problems.push(Problem {
                    severity: Severity::Error,
                    code: code.into(),
                    file: self.file.into(),
                    place: format!("line {line}, object {number}"),
                    message,
                    fix: fix.into(),
                });
            }
        };
        if let Some((edge, text, line)) = draft.bad {
            tell(
                "bad-coordinate",
                line,
                format!("{edge} is \"{text}\", which is no number"),
                "write a number of pixels there",
            );
            return;
        }
        let missing: Vec<&str> =
            EDGES.iter().zip(&draft.edges).filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
        let [Some(ymin), Some(xmin), Some(ymax), Some(xmax)] = draft.edges else {
            let message = format!("the object has no {} in its bndbox", missing.join(", "));
            tell("incomplete-box", draft.line, message, "draw the box again, or delete the object");
            return;
        };
        if draft.name.is_empty() {
            let message = "the object has no name, so its class is unknown".to_owned();
            tell("object-without-name", draft.line, message, "write the class into its <name>");
            return;
        }
        self.annotation.objects.push(VocObject {
            name: draft.name,
            bounds: PixelBox::new(ymin, xmin, ymax, xmax),
            flags: draft.flags,
            pose: draft.pose,
            line: draft.line,
        });
    }
}

impl Draft {
    /// Takes in one element; `path` is below `object`.
    fn set(&mut self, path: &[&str], value: &str, line: usize) {
        match path {
            ["name"] => self.name = value.to_owned(),
            ["pose"] if !value.is_empty() => self.pose = value.to_owned(),
            ["truncated"] => self.flags.truncated = is_yes(value),
            ["difficult"] => self.flags.difficult = is_yes(value),
            ["occluded"] => self.flags.occluded = is_yes(value),
            ["bndbox", edge] => {
                let Some(index) = EDGES.iter().position(|name| name == edge) else { return };
                match value.parse::<f64>() {
                    Ok(number) if number.is_finite() => self.edges[index] = Some(number),
                    _ => {
                        let shown = value.chars().take(40).collect();
                        self.bad.get_or_insert(((*edge).to_owned(), shown, line));
                    }
                }
            }
            _ => {}
        }
    }
}

fn some_text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// A side of a picture; some programs write 0 or nothing where they do not know it.
fn side(value: &str) -> Option<u32> {
    let number = value.parse::<f64>().ok().filter(|n| *n >= 1.0 && *n <= f64::from(u32::MAX))?;
    Some(number.round() as u32)
}

/// VOC writes 1, others write words.
fn is_yes(value: &str) -> bool {
    match value.parse::<f64>() {
        Ok(number) => number != 0.0,
        Err(_) => ["true", "yes"].iter().any(|word| value.eq_ignore_ascii_case(word)),
    }
}

/// The character that `&…;` stands for. Entities of the file's own are not expanded: no annotation
/// needs them, and a few lines of them can fill any memory.
fn resolve(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Some(c) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(c);
    }
    let name = reference.decode().map_err(|error| error.to_string())?;
    match name.as_ref() {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(format!("the entity &{shown}; is not expanded; write the text itself"))
        }
    }
}

/// The file as labelImg would write it.
pub fn write(annotation: &VocAnnotation) -> String {
    let mut out = String::new();
    let verified = if annotation.verified { " verified=\"yes\"" } else { "" };
    let _ = writeln!(out, "<annotation{verified}>");
    element(&mut out, 1, "folder", annotation.folder.as_deref().unwrap_or_default());
    element(&mut out, 1, "filename", annotation.filename.as_deref().unwrap_or_default());
    if let Some(path) = &annotation.path {
        element(&mut out, 1, "path", path);
    }
    out.push_str("\t<source>\n\t\t<database>Unknown</database>\n\t</source>\n");
    if let Some(size) = annotation.size {
        let _ = writeln!(
            out,
            "\t<size>\n\t\t<width>{}</width>\n\t\t<height>{}</height>\n\t\t<depth>3</depth>\n\t</size>",
            size.width, size.height
        );
    }
    out.push_str("\t<segmented>0</segmented>\n");
    for object in &annotation.objects {
        out.push_str("\t<object>\n");
        element(&mut out, 2, "name", &object.name);
        element(&mut out, 2, "pose", if object.pose.is_empty() { "Unspecified" } else { &object.pose });
        element(&mut out, 2, "truncated", if object.flags.truncated { "1" } else { "0" });
        element(&mut out, 2, "difficult", if object.flags.difficult { "1" } else { "0" });
        if object.flags.occluded {
            element(&mut out, 2, "occluded", "1");
        }
        let b = &object.bounds;
        out.push_str("\t\t<bndbox>\n");
        for (name, value) in [("xmin", b.xmin), ("ymin", b.ymin), ("xmax", b.xmax), ("ymax", b.ymax)] {
            let _ = writeln!(out, "\t\t\t<{name}>{value}</{name}>");
        }
        out.push_str("\t\t</bndbox>\n\t</object>\n");
    }
    out.push_str("</annotation>\n");
    out
}

fn element(out: &mut String, depth: usize, name: &str, text: &str) {
    out.extend(std::iter::repeat_n('\t', depth));
    let _ = write!(out, "<{name}>");
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // What XML cannot hold, not even escaped.
            '\u{0}'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {
                out.push('\u{FFFD}')
            }
            c => out.push(c),
        }
    }
    let _ = writeln!(out, "</{name}>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (VocAnnotation, Vec<Problem>) {
        parse(text.as_bytes(), "a.xml").expect("well-formed")
    }

    fn object(inside: &str) -> String {
        format!("<annotation>\n<object>\n{inside}</object>\n</annotation>")
    }

    const BOX: &str = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30.5</xmax><ymax>4e1</ymax></bndbox>\n";

    #[test]
    fn quirks_are_read() {
        let text = "<?xml version='1.0'?><!DOCTYPE annotation>\n<annotation verified=\"yes\"><filename> a&amp;b&#46;jpg </filename>\
            <size><width>640.0</width><height>480</height><depth/></size><unknown><deep/></unknown>\
            <object><bndbox><ymax>40</ymax><xmax>30.5</xmax><ymin>2</ymin><xmin>1</xmin></bndbox>\
            <part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>\
            <name><![CDATA[cat]]></name><difficult>true</difficult><truncated/></object></annotation>";
        let (annotation, problems) = read(text);
        assert_eq!(problems, []);
        assert!(annotation.verified);
        assert_eq!(annotation.filename.as_deref(), Some("a&b.jpg"));
        assert_eq!(annotation.size, Some(ImageSize::new(640, 480)));
        let [object] = annotation.objects.as_slice() else { panic!("one object: {annotation:?}") };
        assert_eq!(object.name, "cat");
        assert_eq!(object.bounds, PixelBox::new(2.0, 1.0, 40.0, 30.5));
        assert_eq!(object.flags, BoxFlags { difficult: true, ..BoxFlags::default() });
        assert_eq!(object.line, 2);
    }

    #[test]
    fn objects_that_say_too_little_are_left_out_with_their_line() {
        let cases = [
            ("<name>cat</name>\n", "incomplete-box", "line 2, object 1"),
            (BOX, "object-without-name", "line 2, object 1"),
            ("<name>cat</name>\n<bndbox>\n<xmin>one</xmin></bndbox>", "bad-coordinate", "line 5, object 1"),
            ("<name>cat</name><bndbox><xmin>nan</xmin></bndbox>", "bad-coordinate", "line 3, object 1"),
        ];
        for (inside, code, place) in cases {
            let (annotation, problems) = read(&object(inside));
            assert_eq!(annotation.objects, []);
            assert_eq!((problems[0].code.as_str(), problems[0].place.as_str()), (code, place), "{inside}");
        }
        assert_eq!(read(&object(&format!("<name>cat</name>{BOX}"))).0.objects.len(), 1);
    }

    #[test]
    fn what_is_not_voc_is_refused_with_its_place() {
        let error = |text: &str| parse(text.as_bytes(), "a.xml").expect_err("not VOC").to_string();
        assert!(error("<annotation>\n  <object>").contains("line 2, column 11: the file ends before </object>"));
        assert!(error("<annotation>\n<a></b></annotation>").contains("line 2"));
        assert!(error("<COCO/>").contains("<COCO>"));
        assert!(error("").contains("no <annotation>"));
        assert!(error("no xml at all").contains("a.xml"));
    }

    #[test]
    fn bombs_do_not_go_off() {
        let bomb =
            "<!DOCTYPE a [<!ENTITY x \"ha\"><!ENTITY y \"&x;&x;\">]><annotation><filename>&y;</filename></annotation>";
        assert!(parse(bomb.as_bytes(), "a").expect_err("an entity").to_string().contains("&y; is not expanded"));
        let deep = format!("<annotation>{}", "<a>".repeat(100_000));
        assert!(parse(deep.as_bytes(), "a").expect_err("deep").to_string().contains("nested"));
        let many = format!("<annotation>{}</annotation>", "<object/>".repeat(MAX_OBJECTS + 1));
        assert!(parse(many.as_bytes(), "a").expect_err("many").to_string().contains("objects"));
        let faults = format!("<annotation>{}</annotation>", "<object/>".repeat(5000));
        assert_eq!(read(&faults).1.len(), MAX_PROBLEMS + 1);
        let huge = vec![b' '; MAX_FILE_BYTES as usize + 1];
        assert!(parse(&huge, "a").is_err());
    }

    #[test]
    fn encodings() {
        let name = |bytes: &[u8]| parse(bytes, "a").expect("read").0.filename;
        let text = "<annotation><filename>é</filename></annotation>";
        assert_eq!(name(&[b"\xEF\xBB\xBF", text.as_bytes()].concat()).as_deref(), Some("é"));
        let utf16: Vec<u8> = std::iter::once(0xFEFFu16).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(name(&utf16).as_deref(), Some("é"));
        let latin =
            b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><annotation><filename>\xE9</filename></annotation>";
        assert_eq!(name(latin).as_deref(), Some("é"));
        let error = parse(b"<annotation>\n<filename>\xE9</filename></annotation>", "a").expect_err("no encoding");
        assert!(error.to_string().contains("line 2, column 11: this is not UTF-8"), "{error}");
    }

    fn arb_object() -> impl Strategy<Value = VocObject> {
        let text = "[a-zé<>&\"' ]{0,8}[a-z]";
        (text, -10.0..5000.0f64, 0..5000i32, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(name, x, y, difficult, truncated, occluded)| VocObject {
                name: name.trim().to_owned(),
                bounds: PixelBox::new(f64::from(y), x, f64::from(y) + 7.0, x + 0.25),
                flags: BoxFlags { difficult, truncated, occluded, group_of: false },
                pose: "Left".into(),
                line: 0,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(objects in prop::collection::vec(arb_object(), 0..6), verified: bool, name in "[a-z&<é]{1,9}") {
            let written = VocAnnotation {
                folder: Some("images".into()),
                filename: Some(name),
                path: None,
                size: Some(ImageSize::new(640, 480)),
                verified,
                objects,
            };
            let (mut back, problems) = read(&write(&written));
            for object in &mut back.objects {
                prop_assert!(object.line > 0);
                object.line = 0;
            }
            prop_assert_eq!(back, written);
            prop_assert_eq!(problems, vec![]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[<>/a-z&;!\\[\\]'\" \n-]{0,120}") {
            let _ = parse(text.as_bytes(), "a");
            let _ = parse(format!("<annotation>{text}").as_bytes(), "a");
        }
    }
}
