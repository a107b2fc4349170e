//! What the demo relies on: the same pictures everywhere, and boxes that are exact.

use crate::arrangement::Arrangement;
use crate::camera::Camera;
use crate::canvas::Canvas;
use crate::dice::Dice;
use crate::{SampleConfig, Scene, class_names, compose, material, math, paint};

const CONFIG: SampleConfig = SampleConfig { images: 120, seed: 20 };

/// A checksum that is the same on every machine (FNV-1a).
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The arrangement alone, without the painting: enough for counts and boxes, and twenty times as fast.
fn arrangement(index: usize) -> Arrangement {
    let mut dice = Dice::new(CONFIG.seed, index as u64);
    Arrangement::new(CONFIG.seed, index, &mut dice.fork())
}

#[test]
fn a_picture_is_the_same_on_any_thread_and_in_any_order() {
    let forward: Vec<Scene> = (0..6).map(|index| paint(&CONFIG, index)).collect();
    let workers: Vec<_> =
        (0..6).rev().map(|index| (index, std::thread::spawn(move || paint(&CONFIG, index)))).collect();
    for (index, worker) in workers {
        let scene = worker.join().expect("painting does not panic");
        assert!(scene == forward[index], "picture {index} differs between threads");
    }
    let other = paint(&SampleConfig { seed: 21, ..CONFIG }, 0);
    assert!(other != forward[0], "another seed gives another picture");
    assert!(forward[0] != forward[1], "another index gives another picture");
}

#[test]
fn a_picture_is_the_same_on_any_machine() {
    let sums: Vec<u64> = (0..3).map(|index| checksum(&paint(&CONFIG, index).rgb)).collect();
    assert_eq!(
        sums,
        [15973684758311286999, 10386680858526691131, 10786426147419663828],
        "the painting changed: if on purpose, write the new sums here"
    );
}

#[test]
fn boxes_lie_inside_and_are_not_degenerate() {
    for index in 0..CONFIG.images {
        let arrangement = arrangement(index);
        let (width, height) = arrangement.frame;
        assert!((240..=480).contains(&width) && (240..=480).contains(&height));
        let objects = arrangement.objects();
        assert!(objects.len() <= 6, "picture {index} has {} objects", objects.len());
        for object in objects {
            assert!(object.class < class_names().len());
            assert!(object.ymin >= 0.0 && object.xmin >= 0.0, "picture {index}: {object:?}");
            assert!(object.ymax <= height as f64 && object.xmax <= width as f64, "picture {index}: {object:?}");
            assert!(
                object.ymax - object.ymin >= 5.0 && object.xmax - object.xmin >= 5.0,
                "picture {index}: {object:?}"
            );
            let at_border =
                object.ymin == 0.0 || object.xmin == 0.0 || object.ymax == height as f64 || object.xmax == width as f64;
            assert!(!object.truncated || at_border, "picture {index}: cut off, but not at the border: {object:?}");
        }
    }
}

#[test]
fn the_sample_has_the_variety_that_it_promises() {
    let mut classes = vec![0usize; class_names().len()];
    let (mut empty, mut truncated, mut occluded, mut difficult, mut portrait, mut all) = (0, 0, 0, 0, 0, 0);
    for index in 0..300 {
        let arrangement = arrangement(index);
        let objects = arrangement.objects();
        empty += usize::from(objects.is_empty());
        portrait += usize::from(arrangement.frame.0 < arrangement.frame.1);
        for object in objects {
            all += 1;
            classes[object.class] += 1;
            truncated += usize::from(object.truncated);
            occluded += usize::from(object.occluded);
            difficult += usize::from(object.difficult);
        }
    }
    assert!((30..=36).contains(&empty), "{empty} of 300 pictures are empty");
    assert!((60..=130).contains(&portrait), "{portrait} of 300 pictures are upright");
    for (class, count) in classes.iter().enumerate() {
        let share = *count as f64 / all as f64;
        assert!((0.2..=0.3).contains(&share), "{} has a share of {share:.2}", class_names()[class]);
    }
    assert!(all >= 600, "only {all} objects");
    assert!(truncated * 100 >= 8 * all && truncated * 100 <= 30 * all, "{truncated} of {all} are cut off");
    assert!(occluded * 100 >= all, "{occluded} of {all} are occluded");
    assert!(difficult * 100 >= all && difficult * 100 <= 15 * all, "{difficult} of {all} are difficult");
}

/// The box is checked against the painted picture: where a black and a white table look alike is the thing.
#[test]
fn a_lone_thing_fills_its_box_to_the_pixel() {
    let mut checked = 0;
    for index in 0..CONFIG.images {
        let mut arrangement = arrangement(index);
        let objects = arrangement.objects();
        arrangement.things.retain(|thing| thing.is_object());
        for (nth, object) in objects.iter().enumerate().take(2) {
            if object.truncated {
                // Along the border a slanting edge may cover many pixels by a little less than half.
                continue;
            }
            let thing = &arrangement.things[nth];
            let (width, height) = arrangement.frame;
            let lighting = &arrangement.lighting;
            let patch = material::paint(&thing.relief, thing.at, arrangement.frame, &thing.finish, lighting);
            let on = |table: f32| {
                let mut canvas = Canvas::paint(width, height, |_, _| [table; 3]);
                canvas.lay(&patch, 1.0);
                canvas.pixels
            };
            let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
            for (at, (black, white)) in on(0.0).iter().zip(on(1.0)).enumerate() {
                let shows_through = white[0] - black[0];
                if shows_through < 0.7 {
                    let (x, y) = (at % width, at / width);
                    (left, top, right, bottom) = (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1));
                }
            }
            let found = [top as f64, left as f64, bottom as f64, right as f64];
            let given = [object.ymin, object.xmin, object.ymax, object.xmax];
            for (found, given) in found.iter().zip(given) {
                assert!(
                    (found - given).abs() <= 1.0,
                    "picture {index}, thing {nth}: {found} in the picture, {given} given"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} things were checked");
}

#[test]
fn a_thing_is_painted_where_its_box_says_among_others() {
    // The difference between the picture with and without the top thing, shadow aside, stays within reach of its box.
    let mut checked = 0;
    for index in 0..40 {
        let mut arrangement = arrangement(index);
        arrangement.things.retain(|thing| thing.is_object());
        let Some(object) = arrangement.objects().last().copied() else { continue };
        let table = || Canvas::paint(arrangement.frame.0, arrangement.frame.1, |_, _| [0.25; 3]);
        let with = compose(&arrangement, table(), &Camera::perfect(), 90);
        arrangement.things.pop();
        let table = Canvas::paint(with.width, with.height, |_, _| [0.25; 3]);
        let without = compose(&arrangement, table, &Camera::perfect(), 90);
        let inside = with.rgb.chunks_exact(3).zip(without.rgb.chunks_exact(3)).enumerate().filter(|(at, (a, b))| {
            let (x, y) = ((at % with.width) as f64, (at / with.width) as f64);
            let within = x >= object.xmin && x < object.xmax && y >= object.ymin && y < object.ymax;
            within && a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > 12)
        });
        let share = inside.count() as f64 / ((object.xmax - object.xmin) * (object.ymax - object.ymin));
        assert!(share > 0.08, "picture {index}: only {share:.2} of the top box shows a thing");
        checked += 1;
    }
    assert!(checked > 25);
}

#[test]
fn elementary_functions_agree_with_the_standard_library() {
    for step in -4000..4000 {
        let turns = step as f32 / 1000.0;
        let radians = f64::from(turns) * std::f64::consts::TAU;
        assert!((f64::from(math::sin(turns)) - radians.sin()).abs() < 1e-5, "sine of {turns} turns");
        assert!((f64::from(math::cos(turns)) - radians.cos()).abs() < 1e-5, "cosine of {turns} turns");
        let (y, x) = (radians.sin(), radians.cos());
        let angle = f64::from(math::angle(y as f32, x as f32)) * std::f64::consts::TAU;
        let away = (angle - y.atan2(x)).abs();
        assert!(away.min((away - std::f64::consts::TAU).abs()) < 1e-4, "angle at {turns} turns");
        assert_eq!(math::floor(turns * 3.7), (turns * 3.7).floor() as i32);
    }
}
