//! What gestures, keys and flags of Annotate ask of the session, and how boxes are named there.

use boxwright_core::{Annotation, BoxFlags, ImageEntry, ImageId, LabelId, PixelBox, ReviewState};
use boxwright_session::Command;

use crate::canvas::tools::{Gesture, change};
use crate::context::Outbox;

/// Width and height as people read them.
pub fn extent(bounds: &PixelBox) -> String {
    format!("{:.0} × {:.0} px", bounds.width(), bounds.height())
}

/// The text of a box's label: its class and the letters of its flags.
pub fn chip_text(name: String, flags: BoxFlags) -> String {
    let mut marks = String::new();
    for (is_set, letter) in
        [(flags.difficult, 'X'), (flags.truncated, 'T'), (flags.occluded, 'O'), (flags.group_of, 'G')]
    {
        if is_set {
            marks.push(letter);
        }
    }
    if marks.is_empty() { name } else { format!("{name} · {marks}") }
}

/// Asks for what a gesture of the pointer or the keys means.
pub fn commit(gesture: Gesture, image: ImageId, label: Option<LabelId>, outbox: &mut Outbox) {
    match (gesture, label) {
        (Gesture::Add(bounds), Some(label)) => outbox.perform(Command::AddBox { image, label, bounds }),
        (Gesture::Add(_), None) => {}
        (Gesture::Change(name, changes), _) => {
            outbox.perform(Command::ChangeBoxes { image, name: name.to_owned(), changes });
        }
    }
}

/// Sets a flag on all boxes, or takes it from all where all have it.
pub fn toggle(chosen: &[Annotation], image: ImageId, outbox: &mut Outbox, flag: fn(&mut BoxFlags) -> &mut bool) {
    let all = chosen.iter().all(|b| *flag(&mut b.flags.clone()));
    if let Some(gesture) = change("change flags", chosen, |b| *flag(&mut b.flags) = !all) {
        commit(gesture, image, None, outbox);
    }
}

/// Sets a state, or takes it back where the image has it.
pub fn set_state(entry: &ImageEntry, state: ReviewState, outbox: &mut Outbox) {
    let state = match () {
        () if entry.state != state => state,
        () if entry.boxes > 0 => ReviewState::Annotated,
        () => ReviewState::New,
    };
    outbox.perform(Command::SetState { image: entry.id, state });
}
