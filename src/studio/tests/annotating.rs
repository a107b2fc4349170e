//! Drawing, changing and undoing boxes by pointer and keys.

use super::*;
use boxwright_core::ReviewState;
use egui::{Event, Key, Modifiers};

#[test]
fn a_drawn_box_is_in_the_project_at_once_and_undo_takes_it_back() {
    let mut bench = Bench::new(2);
    bench.draw((20.0, 30.0), (100.0, 90.0));
    let boxes = bench.boxes();
    assert_eq!(boxes.len(), 1);
    assert_eq!(boxes[0].bounds, bounds(30.0, 20.0, 90.0, 100.0));
    assert_eq!(boxes[0].label, label(1));
    // Another program sees it already: nothing waits for a save.
    let image = bench.studio().current_image().expect("an image");
    assert_eq!(bench.reopened().boxes(image), boxes);
    bench.ctrl(Key::Z);
    assert!(bench.boxes().is_empty());
    bench.harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    bench.settle();
    assert_eq!(bench.boxes(), boxes);
}

#[test]
fn the_drawn_box_is_chosen_and_moves_resizes_and_nudges() {
    let mut bench = Bench::new(1);
    bench.draw((20.0, 30.0), (80.0, 90.0));
    bench.drag((50.0, 60.0), (60.0, 65.0));
    assert_eq!(bench.boxes()[0].bounds, bounds(35.0, 30.0, 95.0, 90.0));
    bench.drag((90.0, 95.0), (110.0, 100.0));
    assert_eq!(bench.boxes()[0].bounds, bounds(35.0, 30.0, 100.0, 110.0));
    bench.press(Key::ArrowRight);
    bench.harness.key_press_modifiers(Modifiers::SHIFT, Key::ArrowUp);
    bench.settle();
    assert_eq!(bench.boxes()[0].bounds, bounds(25.0, 31.0, 90.0, 111.0));
    // Each gesture is one step back.
    for _ in 0..4 {
        bench.ctrl(Key::Z);
    }
    assert_eq!(bench.boxes()[0].bounds, bounds(30.0, 20.0, 90.0, 80.0));
}

#[test]
fn number_keys_give_the_chosen_box_and_the_next_one_their_class() {
    let mut bench = Bench::new(1);
    bench.draw((20.0, 30.0), (60.0, 90.0));
    bench.press(Key::Num2);
    assert_eq!(bench.boxes()[0].label, label(2));
    bench.press(Key::Escape);
    bench.draw((80.0, 30.0), (120.0, 90.0));
    assert_eq!(bench.boxes()[1].label, label(2));
    // There is no ninth class: nothing happens.
    bench.press(Key::Num9);
    assert_eq!(bench.boxes()[1].label, label(2));
}

#[test]
fn copies_go_to_the_next_image_and_flags_toggle() {
    let mut bench = Bench::new(2);
    bench.draw((20.0, 30.0), (60.0, 90.0));
    bench.press(Key::X);
    assert!(bench.boxes()[0].flags.difficult);
    bench.harness.event(Event::Copy);
    bench.settle();
    bench.press(Key::D);
    assert!(bench.boxes().is_empty());
    bench.harness.event(Event::Paste("not boxes".into()));
    bench.settle();
    let pasted = bench.boxes();
    assert_eq!((pasted.len(), pasted[0].bounds), (1, bounds(30.0, 20.0, 90.0, 60.0)));
    bench.ctrl(Key::D);
    assert_eq!(bench.boxes().len(), 2);
    bench.press(Key::Delete);
    assert_eq!(bench.boxes().len(), 1);
}

#[test]
fn r_takes_the_boxes_of_the_previous_image() {
    let mut bench = Bench::new(2);
    bench.draw((20.0, 30.0), (60.0, 90.0));
    bench.press(Key::Escape);
    bench.draw((80.0, 30.0), (120.0, 90.0));
    bench.press(Key::D);
    bench.press(Key::R);
    assert_eq!(bench.boxes().len(), 2);
}

#[test]
fn space_and_b_mark_the_image() {
    let mut bench = Bench::new(1);
    let state = |bench: &Bench| bench.studio().session().images()[0].state;
    bench.press(Key::B);
    assert_eq!(state(&bench), ReviewState::Background);
    bench.press(Key::Space);
    assert_eq!(state(&bench), ReviewState::Verified);
    bench.press(Key::Space);
    assert_eq!(state(&bench), ReviewState::New);
}

#[test]
fn escape_gives_up_a_box_that_is_being_drawn() {
    let mut bench = Bench::new(1);
    bench.press(Key::W);
    let (from, to) = (bench.at(20.0, 30.0), bench.at(90.0, 80.0));
    bench.harness.hover_at(from);
    bench.harness.drag_at(from);
    bench.harness.hover_at(to);
    bench.settle();
    bench.press(Key::Escape);
    bench.harness.drop_at(to);
    bench.settle();
    assert!(bench.boxes().is_empty());
}

#[test]
fn tab_goes_through_the_boxes_under_the_pointer() {
    let mut bench = Bench::new(1);
    bench.draw((10.0, 10.0), (150.0, 110.0));
    bench.press(Key::Escape);
    bench.draw((60.0, 40.0), (100.0, 80.0));
    bench.press(Key::Escape);
    bench.harness.hover_at(bench.at(80.0, 60.0));
    bench.settle();
    bench.press(Key::Tab);
    bench.press(Key::Delete);
    assert_eq!(bench.boxes()[0].bounds, bounds(10.0, 10.0, 110.0, 150.0), "the small one was on top");
}

#[test]
fn typing_in_the_filter_is_typing_and_no_command() {
    let mut bench = Bench::new(3);
    bench.ctrl(Key::F);
    bench.harness.event(Event::Text("photo_2".into()));
    // While the field has the focus, W and D are letters.
    bench.press(Key::W);
    bench.press(Key::D);
    assert!(bench.harness.query_by_label_contains("photo_2.png").is_some());
    assert!(bench.harness.query_by_label_contains("photo_0.png, ").is_none());
    bench.press(Key::Escape);
    bench.press(Key::D);
    let open = bench.studio().current_image().expect("an image");
    assert!(bench.studio().session().image(open).expect("it is there").path.contains("photo_2"));
}

#[test]
fn a_class_can_be_typed_and_made_while_drawing() {
    let mut bench = Bench::new(1);
    bench.draw((20.0, 30.0), (60.0, 90.0));
    bench.press(Key::C);
    bench.harness.event(Event::Text("raccoon".into()));
    bench.settle();
    bench.press(Key::Enter);
    let labels = bench.studio().session().label_map();
    let id = labels.by_name("raccoon").expect("the class was made").id;
    assert_eq!(bench.boxes()[0].label, id);
}

#[test]
fn a_click_in_the_lists_opens_the_image_and_chooses_the_box() {
    let mut bench = Bench::new(3);
    bench.draw((20.0, 30.0), (60.0, 90.0));
    bench.press(Key::Escape);
    bench.click_name("Box cat 40 × 60");
    bench.press(Key::Delete);
    assert!(bench.boxes().is_empty());
    bench.harness.get_by_label_contains("photo_1.png, ").click();
    bench.settle();
    let open = bench.studio().current_image().expect("an image");
    assert!(bench.studio().session().image(open).expect("it is there").path.contains("photo_1"));
}

#[test]
fn the_wheel_zooms_and_f_fits_again() {
    let mut bench = Bench::new(1);
    let before = bench.zoom();
    bench.harness.hover_at(bench.at(40.0, 40.0));
    bench.harness.event(Event::MouseWheel {
        unit: egui::MouseWheelUnit::Line,
        delta: egui::vec2(0.0, 3.0),
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Wheel,
        modifiers: Modifiers::NONE,
    });
    bench.harness.run_steps(12);
    let percent = (before * 1.25f32.powi(3) * 100.0).round();
    assert!(bench.harness.query_by_label(&format!("{percent:.0} %")).is_some(), "three notches are three notches");
    bench.press(Key::F);
    assert!((bench.zoom() - before).abs() < 1e-6);
}

#[test]
fn hidden_boxes_cannot_be_moved_by_accident() {
    let mut bench = Bench::new(1);
    bench.draw((20.0, 30.0), (80.0, 90.0));
    let before = bench.boxes();
    bench.press(Key::H);
    bench.drag((50.0, 60.0), (90.0, 70.0));
    assert_eq!(bench.boxes(), before);
    bench.press(Key::H);
    bench.drag((50.0, 60.0), (60.0, 60.0));
    assert_ne!(bench.boxes(), before);
}

#[test]
fn shift_and_a_click_choose_several() {
    let mut bench = Bench::new(1);
    bench.draw((10.0, 10.0), (40.0, 40.0));
    bench.press(Key::Escape);
    bench.draw((60.0, 60.0), (90.0, 90.0));
    bench.press(Key::Escape);
    bench.click(25.0, 25.0);
    let pos = bench.at(75.0, 75.0);
    for pressed in [true, false] {
        bench.harness.event_modifiers(
            Event::PointerButton { pos, button: egui::PointerButton::Primary, pressed, modifiers: Modifiers::SHIFT },
            Modifiers::SHIFT,
        );
    }
    bench.settle();
    bench.press(Key::Delete);
    assert!(bench.boxes().is_empty());
}
