//! `boxwright inspect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use boxwright_formats::event_file::is_event_file;
use boxwright_formats::{read_file, tf_record};
use boxwright_weights::wire::{Field, fields};
use boxwright_weights::{Checksums, TensorInfo, WeightFile};
use serde_json::{Value, json};

use crate::inspect_events;
use crate::output::print_json;

/// Say what is in a checkpoint, a model, an archive, a record file, an event file or a label map.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file, the prefix of a TensorFlow checkpoint (…/model.ckpt), a run directory, or a saved_model folder
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The most bytes of a record that are looked at for its fields.
const MAX_FIELDS: usize = 10_000;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let path = &args.file;
    if path.is_file() {
        if is_event_file(path) {
            return inspect_events::run(path, args.json);
        }
        if is_records(path)? {
            return records(path, args.json);
        }
        if path.extension().is_some_and(|extension| extension == "pbtxt") {
            return label_map(path, args.json);
        }
        if is_packed(path)? {
            return archive(path, args.json);
        }
    }
    let mut file = boxwright_weights::open(path)?;
    let about = weights(&mut file, args.json);
    let damage = file.verify();
    if args.json {
        print_json(&with_checksums(about, &damage))?;
    } else {
        println!("{}", checksum_words(&damage));
    }
    damage.map(drop).map_err(Into::into)
}

/// Lists the tensors; as JSON it gives them back instead.
fn weights(file: &mut WeightFile, as_json: bool) -> Value {
    let tensors = file.tensors();
    let bytes: u64 = tensors.iter().map(|tensor| tensor.bytes).fold(0, u64::saturating_add);
    let parameters: usize = tensors.iter().filter(|tensor| tensor.is_weight).map(count).fold(0, usize::saturating_add);
    if !as_json {
        println!("{}: {}", file.path().display(), file.kind());
        let width = tensors.iter().map(|tensor| tensor.stored_name.chars().count()).max().unwrap_or(0).min(100);
        for tensor in tensors {
            let shape = format!("{:?}", tensor.shape);
            let renamed =
                if tensor.name == tensor.stored_name { String::new() } else { format!("  = {}", tensor.name) };
            println!("  {:width$}  {:8}  {shape:20} {:>12}{renamed}", tensor.stored_name, tensor.element, tensor.bytes);
        }
        println!("{} tensors, {parameters} weights, {bytes} bytes", tensors.len());
    }
    let list: Vec<Value> = tensors
        .iter()
        .map(|tensor| {
            json!({
                "name": tensor.name, "stored_name": tensor.stored_name, "type": tensor.element.name(),
                "shape": tensor.shape, "bytes": tensor.bytes, "is_weight": tensor.is_weight,
            })
        })
        .collect();
    json!({
        "file": file.path().display().to_string(), "kind": file.kind().to_string(), "tensors": list,
        "weights": parameters, "bytes": bytes,
    })
}

fn count(tensor: &TensorInfo) -> usize {
    tensor.shape.iter().fold(1, |count: usize, &axis| count.saturating_mul(axis))
}

type Verified = Result<Checksums, boxwright_weights::WeightsError>;

fn with_checksums(mut about: Value, verified: &Verified) -> Value {
    about["checksums"] = match verified {
        Ok(Checksums::Match(_)) => "match".into(),
        Ok(Checksums::None) => Value::Null,
        Ok(Checksums::DataMissing(_)) => "data missing".into(),
        Err(_) => "damaged".into(),
    };
    about
}

fn checksum_words(verified: &Verified) -> String {
    match verified {
        Ok(Checksums::Match(count)) => format!("checksums: all {count} match"),
        Ok(Checksums::None) => "checksums: files of this kind have none".to_owned(),
        Ok(Checksums::DataMissing(path)) => format!("checksums: not looked at, {} is missing", path.display()),
        Err(_) => "checksums: damaged".to_owned(),
    }
}

/// Whether a file begins with a record: a length and its checksum, packed or not.
fn is_records(path: &Path) -> anyhow::Result<bool> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if path.metadata().is_ok_and(|about| about.len() == 0) {
        // Nothing is no records only where records are promised.
        return Ok(name.contains("record") || name.contains("tfevents"));
    }
    let Ok(mut reader) = tf_record::open(path) else { return Ok(false) };
    let (start, _) = read_file::read_start(path, 12).with_context(|| path.display().to_string())?;
    let framed = start.len() == 12 && tf_record::masked_crc(&start[..8]).to_le_bytes() == start[8..];
    let packed = start.starts_with(&[0x1f, 0x8b]) || start.first() == Some(&0x78);
    // A first record that is read is proof; where it is damaged the frame still is.
    Ok(framed || (packed && reader.read_into(&mut Vec::new()).is_ok_and(|more| more)))
}

/// Counts records and says what their fields are.
fn records(path: &Path, as_json: bool) -> anyhow::Result<()> {
    let mut reader = tf_record::open(path)?;
    let (mut record, mut bytes, mut found) = (Vec::new(), 0u64, Fields::default());
    let damage = loop {
        match reader.read_into(&mut record) {
            Ok(true) => {
                bytes += record.len() as u64;
                found.add(&record);
            }
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    let kind = "record file";
    let (count, checksums) = (reader.records(), if damage.is_some() { "damaged" } else { "match" });
    if as_json {
        let names: serde_json::Map<String, Value> =
            found.names.into_iter().map(|(name, count)| (name, count.into())).collect();
        print_json(&json!({
            "file": path.display().to_string(), "kind": kind, "records": count, "bytes": bytes, "fields": names,
            "checksums": checksums,
        }))?;
    } else {
        println!("{}: {kind}, {count} records, {bytes} bytes", path.display());
        let width = found.names.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        for (name, count) in &found.names {
            println!("  {name:width$}  in {count} of {}", reader.records());
        }
        println!("checksums: {}", if damage.is_some() { "damaged" } else { "all match" });
    }
    damage.map_or(Ok(()), |error| Err(error.into()))
}

/// The names of features in records, and in how many records each is.
#[derive(Default)]
struct Fields {
    names: BTreeMap<String, u64>,
}

impl Fields {
    fn add(&mut self, record: &[u8]) {
        for field in fields(record).map_while(Result::ok) {
            // Example: features → map of name and feature.
            if let (1, Field::Bytes(features)) = field {
                self.add_names(features);
            }
        }
    }

    /// The key of every entry of a map of features.
    fn add_names(&mut self, features: &[u8]) {
        for field in fields(features).map_while(Result::ok) {
            let (1, Field::Bytes(entry)) = field else { continue };
            let named = fields(entry).map_while(Result::ok).find_map(|field| match field {
                (1, Field::Bytes(text)) => Some(String::from_utf8_lossy(text).into_owned()),
                _ => None,
            });
            if let Some(named) = named
                && (self.names.len() < MAX_FIELDS || self.names.contains_key(&named))
            {
                *self.names.entry(named).or_default() += 1;
            }
        }
    }
}

fn label_map(path: &Path, as_json: bool) -> anyhow::Result<()> {
    let map = boxwright_config::label_map::read(path)?;
    if as_json {
        let item = |item: &boxwright_core::LabelMapItem| json!({ "id": item.id.get(), "name": item.name, "display_name": item.display_name });
        let items: Vec<Value> = map.items().iter().map(item).collect();
        return print_json(&json!({ "file": path.display().to_string(), "kind": "label map", "items": items }));
    }
    println!("{}: label map, {} classes", path.display(), map.len());
    for item in map.items() {
        let shown = item.display_name.as_deref().map(|name| format!("  ({name})")).unwrap_or_default();
        println!("  {:5}  {}{shown}", item.id.get(), item.name);
    }
    Ok(())
}

fn is_packed(path: &Path) -> anyhow::Result<bool> {
    let (start, _) = read_file::read_start(path, 262).with_context(|| path.display().to_string())?;
    Ok(start.starts_with(&[0x1f, 0x8b]) || start.get(257..262) == Some(b"ustar"))
}

/// Lists an archive's members, and the weights in it where there are some.
fn archive(path: &Path, as_json: bool) -> anyhow::Result<()> {
    let members = boxwright_weights::list_archive(path)?;
    let bytes: u64 = members.iter().map(|member| member.bytes).fold(0, u64::saturating_add);
    let inside = boxwright_weights::open(path);
    if as_json {
        let list: Vec<Value> = members.iter().map(|m| json!({ "path": m.path, "bytes": m.bytes })).collect();
        let mut about =
            json!({ "file": path.display().to_string(), "kind": "archive", "members": list, "bytes": bytes });
        if let Ok(mut file) = inside {
            let weights = weights(&mut file, true);
            about["weights"] = with_checksums(weights, &file.verify());
        }
        return print_json(&about);
    }
    println!("{}: archive, {} members, {bytes} bytes", path.display(), members.len());
    for member in &members {
        println!("  {:>12}  {}", member.bytes, member.path);
    }
    match inside {
        Ok(mut file) => {
            weights(&mut file, false);
            println!("{}", checksum_words(&file.verify()));
        }
        Err(error) => println!("no weights that are read: {error}"),
    }
    Ok(())
}
