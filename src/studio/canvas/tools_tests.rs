//! The pointer's machine, gesture by gesture.

use super::*;
use boxwright_core::{BoxFlags, LabelId};

const SIZE: ImageSize = ImageSize::new(100, 80);

fn annotation(id: i64, ymin: f64, xmin: f64, ymax: f64, xmax: f64) -> Annotation {
    Annotation {
        id: BoxId(id),
        label: LabelId::new(1).expect("an id"),
        bounds: PixelBox::new(ymin, xmin, ymax, xmax),
        flags: BoxFlags::default(),
    }
}

fn scene(boxes: &[Annotation]) -> Scene<'_> {
    Scene { boxes, size: SIZE, zoom: 1.0 }
}

#[test]
fn drawing_snaps_to_pixels_and_to_the_picture_and_ends_the_tool() {
    let mut tools = Tools { tool: Tool::Draw, ..Tools::default() };
    tools.press((50.4, 40.6), &scene(&[]), false);
    tools.drag((-20.0, 12.2), &scene(&[]));
    assert_eq!(tools.release(&scene(&[])), Some(Gesture::Add(PixelBox::new(12.0, 0.0, 41.0, 50.0))));
    assert_eq!(tools.tool, Tool::Select);
}

#[test]
fn a_click_or_a_line_is_no_box_and_keeps_the_tool() {
    for to in [(50.0, 40.0), (51.0, 41.0), (90.0, 40.0)] {
        let mut tools = Tools { tool: Tool::Draw, ..Tools::default() };
        tools.press((50.0, 40.0), &scene(&[]), false);
        tools.drag(to, &scene(&[]));
        assert_eq!(tools.release(&scene(&[])), None, "{to:?}");
        assert_eq!(tools.tool, Tool::Draw);
    }
}

#[test]
fn a_drag_moves_the_chosen_boxes_as_one_change_and_stops_at_the_edge() {
    let boxes = [annotation(1, 10.0, 10.0, 30.0, 30.0), annotation(2, 50.0, 60.0, 70.0, 90.0)];
    let mut tools = Tools::default();
    tools.select([BoxId(1), BoxId(2)]);
    tools.press((20.0, 20.0), &scene(&boxes), false);
    tools.drag((45.0, 22.0), &scene(&boxes));
    assert_eq!(tools.shown_bounds(&boxes[0]), PixelBox::new(12.0, 20.0, 32.0, 40.0));
    let Some(Gesture::Change("move", changes)) = tools.release(&scene(&boxes)) else { panic!("a move") };
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[1].1.bounds, PixelBox::new(52.0, 70.0, 72.0, 100.0));
}

#[test]
fn a_click_inside_a_chosen_box_chooses_the_smaller_one_on_it() {
    let boxes = [annotation(1, 0.0, 0.0, 80.0, 100.0), annotation(2, 30.0, 30.0, 50.0, 50.0)];
    let mut tools = Tools::default();
    tools.select([BoxId(1)]);
    tools.press((40.0, 40.0), &scene(&boxes), false);
    assert_eq!(tools.release(&scene(&boxes)), None);
    assert_eq!(tools.selection(), [BoxId(2)]);
}

#[test]
fn a_handle_is_grabbed_within_its_reach_and_resizes() {
    let boxes = [annotation(1, 20.0, 20.0, 60.0, 60.0)];
    let mut tools = Tools::default();
    tools.select([BoxId(1)]);
    tools.press((66.0, 67.0), &scene(&boxes), false);
    assert!(matches!(tools.draft, Some(Draft::Resize { handle: Handle { x: 1, y: 1 }, .. })));
    tools.drag((10.0, 70.0), &scene(&boxes));
    let Some(Gesture::Change("resize", changes)) = tools.release(&scene(&boxes)) else { panic!("a resize") };
    // Dragged over the left edge: the box turned around.
    assert_eq!(changes[0].1.bounds, PixelBox::new(20.0, 10.0, 70.0, 20.0));
}

#[test]
fn a_resize_to_nothing_changes_nothing() {
    let boxes = [annotation(1, 20.0, 20.0, 60.0, 60.0)];
    let mut tools = Tools::default();
    tools.select([BoxId(1)]);
    tools.press((60.0, 60.0), &scene(&boxes), false);
    tools.drag((20.0, 70.0), &scene(&boxes));
    assert_eq!(tools.release(&scene(&boxes)), None);
}

#[test]
fn a_band_chooses_the_boxes_whose_middle_it_holds() {
    let boxes = [annotation(1, 10.0, 10.0, 20.0, 20.0), annotation(2, 60.0, 60.0, 70.0, 70.0)];
    let mut tools = Tools::default();
    tools.press((2.0, 2.0), &scene(&boxes), false);
    tools.drag((40.0, 40.0), &scene(&boxes));
    assert_eq!(tools.release(&scene(&boxes)), None);
    assert_eq!(tools.selection(), [BoxId(1)]);
    // With Shift the choice grows; a click on nothing ends it.
    tools.press((65.0, 65.0), &scene(&boxes), true);
    assert_eq!(tools.selection(), [BoxId(1), BoxId(2)]);
    tools.press((90.0, 5.0), &scene(&boxes), false);
    tools.release(&scene(&boxes));
    assert!(tools.selection().is_empty());
}

#[test]
fn cancel_forgets_the_draft_then_the_tool_then_the_choice() {
    let boxes = [annotation(1, 10.0, 10.0, 20.0, 20.0)];
    let mut tools = Tools { tool: Tool::Draw, ..Tools::default() };
    tools.select([BoxId(1)]);
    tools.press((2.0, 2.0), &scene(&boxes), false);
    assert!(tools.cancel() && tools.draft.is_none());
    assert!(tools.cancel() && tools.tool == Tool::Select);
    assert!(tools.cancel() && tools.selection().is_empty());
    assert!(!tools.cancel());
}

#[test]
fn tab_goes_through_the_boxes_under_the_pointer() {
    let boxes = [annotation(1, 0.0, 0.0, 80.0, 100.0), annotation(2, 30.0, 30.0, 50.0, 50.0)];
    let mut tools = Tools::default();
    assert!(tools.select_next_under((40.0, 40.0), &scene(&boxes)));
    assert_eq!(tools.selection(), [BoxId(2)]);
    assert!(tools.select_next_under((40.0, 40.0), &scene(&boxes)));
    assert_eq!(tools.selection(), [BoxId(1)]);
    assert!(!tools.select_next_under((40.0, 40.0), &scene(&[])));
}

#[test]
fn nudges_stay_inside_and_a_box_outside_is_not_pulled_in() {
    let boxes = [annotation(1, 0.0, 95.0, 10.0, 100.0), annotation(2, -5.0, 10.0, 10.0, 20.0)];
    let mut tools = Tools::default();
    tools.select([BoxId(1)]);
    assert_eq!(tools.nudge((10.0, 0.0), &scene(&boxes)), None);
    tools.select([BoxId(2)]);
    let Some(Gesture::Change(_, changes)) = tools.nudge((0.0, 1.0), &scene(&boxes)) else { panic!("a nudge") };
    assert_eq!(changes[0].1.bounds.ymin, -4.0);
}
