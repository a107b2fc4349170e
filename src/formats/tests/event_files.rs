//! Event files: our own are read back, TensorFlow's are read (`golden/events`), damaged ones are named.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_golden::{Row, Value, golden, json};

use crate::event_file::{
    Event, EventData, EventError, EventImage, EventReader, EventWriter, SummaryValue, is_event_file, summarize,
};

fn events(path: &Path) -> Vec<Event> {
    EventReader::open(path).expect("opened").collect::<Result<_, _>>().expect("sound")
}

fn scalars(events: &[Event]) -> Vec<(i64, f64, BTreeMap<String, f64>)> {
    let row = |event: &Event| match &event.data {
        EventData::Summary(values) => {
            let number = |value: &SummaryValue| if let SummaryValue::Scalar(v) = value { *v } else { f64::NAN };
            Some((event.step, event.wall_time, values.iter().map(|v| (v.tag.clone(), number(&v.value))).collect()))
        }
        _ => None,
    };
    events.iter().filter_map(row).collect()
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = EventWriter::create(folder.path(), "my host.example").expect("made");
    writer.scalars(1, [("Loss/total_loss", 2.5), ("learning_rate", f64::from(0.004f32))]).expect("written");
    let picture = EventImage { width: 3, height: 2, encoded: b"png".to_vec() };
    writer.images(1, "train_input_images", vec![picture.clone(), picture.clone()]).expect("written");
    let path = writer.path().to_owned();
    assert_eq!(events(&path).len(), 1, "the rest waits");
    writer.flush().expect("written");
    let all = events(&path);
    assert_eq!(all[0].data, EventData::FileVersion("brain.Event:2".to_owned()));
    let expected =
        BTreeMap::from([("Loss/total_loss".to_owned(), 2.5), ("learning_rate".to_owned(), f64::from(0.004f32))]);
    assert_eq!((scalars(&all)[0].0, &scalars(&all)[0].2), (1, &expected));
    let EventData::Summary(values) = &all[2].data else { panic!("{:?}", all[2]) };
    assert_eq!(values[1].tag, "train_input_images/1");
    assert_eq!(values[1].value, SummaryValue::Images(vec![picture]));

    // A run that goes on writes a later file, also within the same second.
    let mut second = EventWriter::create(folder.path(), "my host.example").expect("made");
    second.session_start(2).expect("written");
    second.scalars(2, [("Loss/total_loss", 1.0)]).expect("written");
    let (first, second_path) = (path.file_name().expect("a name"), second.path().to_owned());
    assert!(second_path.file_name().expect("a name") > first);
    assert!(first.to_string_lossy().ends_with(".my_host_example"), "{first:?}");
    drop(second);
    let about = summarize(&second_path).expect("read");
    assert_eq!((about.events, &about.session_starts[..], about.damage.is_none()), (3, &[2][..], true));
    assert_eq!(about.tags["Loss/total_loss"].last_value, Some(1.0));
}

#[test]
fn damage_is_named_and_what_came_before_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = EventWriter::create(folder.path(), "h").expect("made");
    for step in 1..=3 {
        writer.scalars(step, [("a", step as f64)]).expect("written");
    }
    let path = writer.path().to_owned();
    drop(writer);
    let bytes = std::fs::read(&path).expect("read");
    std::fs::write(&path, &bytes[..bytes.len() - 7]).expect("written");
    let about = summarize(&path).expect("opened");
    assert_eq!((about.events, about.tags["a"].last_step), (3, 2));
    assert!(about.damage.expect("cut off").to_string().contains("record 3 at byte"));
    // Records that are no events.
    let other = folder.path().join("a.record");
    let mut records = crate::tf_record::RecordWriter::new(Vec::new());
    records.write(b"\xff\xff\xff").expect("in memory");
    std::fs::write(&other, records.into_inner()).expect("written");
    assert!(is_event_file(&path) && !is_event_file(&other));
    let error = EventReader::open(&other).expect("opened").next().expect("one").expect_err("no event");
    assert!(matches!(&error, EventError::NoEvent { record: 0, .. }), "{error}");
}

#[test]
fn tensorflows_own_files_parity() {
    let Some(expected) = golden("events/expected.json") else { return };
    let folder = expected.parent().expect("a folder").to_owned();
    let expected = json(&expected);
    let mut row = Row::new("events", 0.0);
    let files = expected["files"].as_array().expect("files");
    for file in files {
        let name = file["file"].as_str().expect("a name");
        let all = events(&folder.join(name));
        assert!(is_event_file(&folder.join(name)));
        assert_eq!(Some(all.len() as u64), file["events"].as_u64(), "{name}");
        let rows = scalars(&all);
        // The old kind has many scalars an event, the new one a tensor under one tag.
        let is_new = expected["v2"]["tag"].as_str().is_some_and(|tag| rows.iter().any(|row| row.2.contains_key(tag)));
        let wanted = &expected[if is_new { "v2" } else { "v1" }];
        let wanted_rows = wanted["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), wanted_rows.len(), "{name}");
        for ((step, time, values), wanted_row) in rows.iter().zip(wanted_rows) {
            assert_eq!(Some(*step), wanted_row["step"].as_i64(), "{name}");
            if let Some(wanted_time) = wanted_row["wall_time"].as_f64() {
                assert_eq!(*time, wanted_time);
            }
            match (&wanted_row["scalars"], wanted["tag"].as_str()) {
                (Value::Object(wanted_values), _) => {
                    assert_eq!(values.len(), wanted_values.len());
                    for (tag, value) in wanted_values {
                        compare(&mut row, values[tag], value);
                    }
                }
                (_, Some(tag)) => compare(&mut row, values[tag], &wanted_row["value"]),
                _ => panic!("{wanted_row}"),
            }
            row.case();
        }
    }
    row.finish();
}

/// The numbers are floats; the reference gives their shortest decimal form.
fn compare(row: &mut Row, got: f64, wanted: &Value) {
    let wanted = f64::from(wanted.as_f64().expect("a number") as f32);
    row.deviation(|| format!("{got} instead of {wanted}"), (got - wanted).abs());
}
