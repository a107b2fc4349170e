//! Files that are not ours, read-only, full, locked, interrupted.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::{PROJECT_FILE, StoreError};

#[test]
fn creating_and_opening_say_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    assert!(matches!(Project::open(dir.path()), Err(StoreError::NoProject(_))));
    assert!(!Project::is_project(dir.path()));
    Project::create(dir.path()).expect("a new project");
    assert!(matches!(Project::create(dir.path()), Err(StoreError::Exists(_))));
    assert!(Project::is_project(dir.path()) && Project::is_project(&dir.path().join(PROJECT_FILE)));
    Project::open(&dir.path().join(PROJECT_FILE)).expect("opens by its file too");

    let text = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(text.path().join(PROJECT_FILE), vec![b'x'; 4096]).expect("written");
    assert!(matches!(Project::open(text.path()), Err(StoreError::NotAProject { .. })));

    let foreign = tempfile::tempdir().expect("a temporary folder");
    let other = rusqlite::Connection::open(foreign.path().join(PROJECT_FILE)).expect("made");
    other.execute_batch("CREATE TABLE t (x)").expect("made");
    let error = Project::open(foreign.path()).expect_err("another program's");
    assert!(error.to_string().contains("another program"), "{error}");
    assert!(matches!(Project::create(foreign.path()), Err(StoreError::Exists(_))));
}

#[test]
fn a_newer_format_is_refused_with_a_word() {
    let Home { dir, project } = home();
    project.connection.pragma_update(None, "user_version", 99).expect("set");
    drop(project);
    let error = Project::open(dir.path()).expect_err("newer");
    assert!(matches!(error, StoreError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("update Boxwright"));
}

#[test]
fn an_interrupted_creation_can_be_completed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join(PROJECT_FILE), b"").expect("written");
    let error = Project::open(dir.path()).expect_err("it is empty");
    assert!(error.to_string().contains("interrupted"), "{error}");
    Project::create(dir.path()).expect("completed");
    Project::open(dir.path()).expect("opens");
}

#[test]
fn a_cut_off_or_scribbled_file_is_an_error_and_not_a_panic() {
    let Home { dir, mut project } = home();
    let images: Vec<_> = (0..200).map(|i| new_image(&format!("{i}.jpg"), &[(1, f64::from(i))])).collect();
    project.import(&import(&images)).expect("imported");
    drop(project);
    let whole = std::fs::read(dir.path().join(PROJECT_FILE)).expect("read");
    let mut refused = 0;
    for round in 0..60usize {
        let mut bytes = whole.clone();
        if round % 2 == 0 {
            bytes.truncate(bytes.len() * round / 60);
        } else {
            let start = (round * 7919) % bytes.len();
            let end = (start + 600).min(bytes.len());
            bytes[start..end].fill(round as u8);
        }
        let copy = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(copy.path().join(PROJECT_FILE), &bytes).expect("written");
        let read = Project::open(copy.path()).and_then(|p| Ok((p.images()?, p.all_boxes()?, p.ledger()?)));
        refused += usize::from(read.is_err());
    }
    assert!(refused >= 20, "only {refused} of 60 damaged files were noticed");
}

#[test]
fn a_full_disk_loses_nothing() {
    let Home { dir, mut project } = home();
    let image = add(&mut project, "a.jpg");
    let drawn = draw(&mut project, image, 1.0);
    let pages: i64 = project.connection.pragma_query_value(None, "page_count", |r| r.get(0)).expect("read");
    project.connection.pragma_update_and_check(None, "max_page_count", pages + 2, |_| Ok(())).expect("set");
    let many: Vec<_> = (0..2000).map(|i| new_image(&format!("images/{i}.jpg"), &[(1, 2.0)])).collect();
    let error = project.import(&import(&many)).expect_err("no room");
    assert!(matches!(error, StoreError::DiskFull(_)), "{error}");
    assert!(error.to_string().contains("disk is full"));
    assert_eq!(project.images().expect("read").len(), 1);
    drop(project);
    let mut project = reopen(dir.path());
    assert_eq!(project.boxes(image).expect("read"), vec![drawn]);
    project.import(&import(&many)).expect("with room it works");
    assert_eq!(project.images().expect("read").len(), 2001);
}

#[test]
fn an_uncommitted_write_of_a_killed_process_is_not_there() {
    let Home { dir, mut project } = home();
    let image = add(&mut project, "a.jpg");
    let drawn = draw(&mut project, image, 1.0);
    project.connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM boxes;").expect("begun");
    // The copy of the files at this moment is what a killed process leaves on the disk.
    let copy = tempfile::tempdir().expect("a temporary folder");
    for file in std::fs::read_dir(dir.path()).expect("listed") {
        let file = file.expect("listed");
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("copied");
        }
    }
    assert_eq!(reopen(copy.path()).boxes(image).expect("read"), vec![drawn]);
}

#[test]
fn every_commit_is_synced() {
    let Home { project, .. } = home();
    let pragma = |name: &str| -> String {
        project
            .connection
            .query_row(&format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"), [], |r| r.get(0))
            .expect("read")
    };
    assert_eq!(pragma("journal_mode"), "wal");
    assert_eq!(pragma("synchronous"), "2", "FULL");
    assert_eq!(pragma("foreign_keys"), "1");
}

/// Runs `work` in a thread that reads and writes files as a user without rights, so that a closed
/// folder is closed also where the tests run as root.
fn as_nobody(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: they change the file identity of the calling thread only and touch no memory.
            unsafe {
                libc::setfsgid(65_534);
                libc::setfsuid(65_534);
            }
            work();
        });
        thread.join().expect("what the thread asserts holds");
    });
}

#[test]
fn a_read_only_folder_is_named() {
    let Home { dir, project } = home();
    drop(project);
    let file = dir.path().join(PROJECT_FILE);
    let closed = std::fs::Permissions::from_mode(0o555);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).expect("set");
    std::fs::set_permissions(dir.path(), closed).expect("set");
    as_nobody(|| {
        let error = Project::open(dir.path()).expect_err("nothing may be written");
        assert!(matches!(error, StoreError::ReadOnly(_)), "{error:?}");
        assert!(error.to_string().contains("read-only"), "{error}");
        let inside = dir.path().join("new");
        let error = Project::create(&inside).expect_err("nothing may be made");
        assert!(matches!(error, StoreError::ReadOnly(_)), "{error:?}");
    });
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("set");
}

#[test]
fn a_lock_that_is_held_too_long_is_an_error_and_a_short_one_is_waited_for() {
    let Home { dir, mut project } = home();
    let image = add(&mut project, "a.jpg");
    let mut other = reopen(dir.path());
    project.connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
    other.connection.busy_timeout(std::time::Duration::from_millis(50)).expect("set");
    let error = other.set_split(&[image], Split::Val).expect_err("locked");
    assert!(matches!(error, StoreError::Locked(_)), "{error}");

    other.connection.busy_timeout(std::time::Duration::from_secs(20)).expect("set");
    let waiting = std::thread::spawn(move || other.set_split(&[image], Split::Val));
    std::thread::sleep(std::time::Duration::from_millis(100));
    project.connection.execute_batch("COMMIT").expect("committed");
    waiting.join().expect("no panic").expect("written after the wait");
    assert_eq!(project.image(image).expect("read").split, Split::Val);
}

#[test]
fn twenty_thousand_images_are_listed_in_one_query() {
    let Home { mut project, .. } = home();
    let images: Vec<_> = (0..20_000).map(|i| new_image(&format!("images/{i:05}.jpg"), &[(1, 1.0), (2, 2.0)])).collect();
    let started = std::time::Instant::now();
    project.import(&import(&images)).expect("imported");
    let imported = started.elapsed();
    let started = std::time::Instant::now();
    let listed = project.images().expect("read");
    let list = started.elapsed();
    let started = std::time::Instant::now();
    let boxes = project.all_boxes().expect("read");
    println!("20,000 images: import {imported:?}, list {list:?}, all boxes {:?}", started.elapsed());
    assert_eq!(listed.len(), 20_000);
    assert_eq!(boxes.values().map(Vec::len).sum::<usize>(), 40_000);
    assert!(listed.iter().zip(&images).all(|(entry, image)| entry.path == image.path && entry.boxes == 2));
}
