//! The automatic split.

use std::collections::BTreeMap;

use super::*;
use crate::SplitScope;

fn splits(project: &Project) -> BTreeMap<String, Split> {
    project.images().expect("read").into_iter().map(|i| (i.path, i.split)).collect()
}

#[test]
fn it_is_the_same_every_time_and_whatever_the_order() {
    let images: Vec<_> = (0..50).map(|i| new_image(&format!("{i}.jpg"), &[(1 + i % 3, 0.0)])).collect();
    let Home { mut project, .. } = home();
    project.import(&import(&images)).expect("imported");
    assert_eq!(project.auto_split(0.2, 1, SplitScope::TrainAndVal).expect("split"), (40, 10));
    let first = splits(&project);
    project.auto_split(0.2, 1, SplitScope::TrainAndVal).expect("split");
    assert_eq!(splits(&project), first);
    let reversed: Vec<_> = images.iter().rev().cloned().collect();
    let Home { project: mut other, .. } = home();
    other.import(&import(&reversed)).expect("imported");
    other.auto_split(0.2, 1, SplitScope::TrainAndVal).expect("split");
    assert_eq!(splits(&other), first);
    other.auto_split(0.2, 2, SplitScope::TrainAndVal).expect("split");
    assert_ne!(splits(&other), first, "another seed");
}

#[test]
fn each_class_keeps_its_share() {
    // 80 images of a common class, 20 of a rare one, 20 without boxes.
    let images: Vec<_> = (0..120)
        .map(|i| {
            let boxes: &[(u32, f64)] = match i {
                0..80 => &[(1, 0.0)],
                80..100 => &[(1, 0.0), (2, 5.0)],
                _ => &[],
            };
            new_image(&format!("{i}.jpg"), boxes)
        })
        .collect();
    let Home { mut project, .. } = home();
    project.import(&import(&images)).expect("imported");
    project.auto_split(0.25, 7, SplitScope::Unassigned).expect("split");
    let split = splits(&project);
    let val_in = |range: std::ops::Range<u32>| range.filter(|i| split[&format!("{i}.jpg")] == Split::Val).count();
    assert_eq!((val_in(0..80), val_in(80..100), val_in(100..120)), (20, 5, 5));
}

#[test]
fn assigned_and_test_images_stay() {
    let Home { mut project, .. } = home();
    let ids: Vec<_> = (0..10).map(|i| add(&mut project, &format!("{i}.jpg"))).collect();
    project.set_split(&ids[..2], Split::Test).expect("split");
    project.set_split(&ids[2..4], Split::Train).expect("split");
    assert_eq!(project.auto_split(0.5, 1, SplitScope::Unassigned).expect("split"), (3, 3));
    let listed = project.images().expect("read");
    assert!(listed[..2].iter().all(|i| i.split == Split::Test));
    assert!(listed[2..4].iter().all(|i| i.split == Split::Train));
    assert_eq!(project.auto_split(0.5, 1, SplitScope::Unassigned).expect("nothing left"), (0, 0));
    assert_eq!(project.auto_split(0.5, 1, SplitScope::TrainAndVal).expect("split"), (4, 4));
}

#[test]
fn both_sides_get_something_and_copies_stay_together() {
    for (count, fraction) in [(2u32, 0.01), (2, 0.99), (5, 0.1)] {
        let Home { mut project, .. } = home();
        for i in 0..count {
            add(&mut project, &format!("{i}.jpg"));
        }
        let (train, val) = project.auto_split(fraction, 1, SplitScope::Unassigned).expect("split");
        assert!(train >= 1 && val >= 1, "{count} at {fraction}: {train}/{val}");
    }
    let Home { mut project, .. } = home();
    let copies: Vec<_> =
        (0..20).map(|i| NewImage { sha256: sha256_hex(&[i / 4]), ..new_image(&format!("{i:02}.jpg"), &[]) }).collect();
    project.import(&import(&copies)).expect("imported");
    project.auto_split(0.3, 3, SplitScope::Unassigned).expect("split");
    let split: Vec<_> = splits(&project).into_values().collect();
    assert!(split.chunks(4).all(|copies| copies.iter().all(|s| *s == copies[0])), "{split:?}");
    assert!(split.contains(&Split::Val) && split.contains(&Split::Train));
}

#[test]
fn all_or_none_is_possible() {
    let Home { mut project, .. } = home();
    for i in 0..4 {
        add(&mut project, &format!("{i}.jpg"));
    }
    assert_eq!(project.auto_split(0.0, 1, SplitScope::TrainAndVal).expect("split"), (4, 0));
    assert_eq!(project.auto_split(1.0, 1, SplitScope::TrainAndVal).expect("split"), (0, 4));
    assert_eq!(project.auto_split(f64::NAN, 1, SplitScope::TrainAndVal).expect("split"), (4, 0));
}
