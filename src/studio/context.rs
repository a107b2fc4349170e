//! What a panel is given, and what it may ask for.
//!
//! A panel reads the session and its own view state, and puts what it wants into the [`Outbox`].
//! It never changes the project itself: `app` carries the requests out after the frame was laid
//! out, in the order in which they came.

use boxwright_core::{Annotation, BoxId, ImageId, PixelBox};
use boxwright_session::{Command, Session};

use crate::command::UiCommand;
use crate::picture_cache::PictureCache;
use crate::question::Question;
use crate::stations::Station;

/// What a panel wants done.
pub enum Request {
    /// As if the command's key had been pressed; the number is which of its keys.
    Run(UiCommand, usize),
    /// A change of the project.
    Do(Command),
    /// Another station.
    Go(Station),
    /// An image on the canvas of Annotate, and perhaps a box to choose.
    OpenImage(ImageId, Option<BoxId>),
    /// A new class, and what it is for.
    NameClass {
        /// Its name.
        name: String,
        /// What it is for.
        then: NewClass,
    },
    /// An answer first.
    Ask(Question),
}

/// What a new class is for.
pub enum NewClass {
    /// A box that was drawn already.
    Draw {
        /// The image.
        image: ImageId,
        /// The box.
        bounds: PixelBox,
    },
    /// Boxes that get it.
    Relabel {
        /// Their image.
        image: ImageId,
        /// The boxes; there may be none.
        boxes: Vec<Annotation>,
    },
}

/// What the panels want done, in order.
#[derive(Default)]
pub struct Outbox {
    requests: Vec<Request>,
    hint: Option<String>,
}

impl Outbox {
    /// As if the command's key had been pressed.
    pub fn run(&mut self, command: UiCommand) {
        self.requests.push(Request::Run(command, 0));
    }

    /// A change of the project.
    pub fn perform(&mut self, command: Command) {
        self.requests.push(Request::Do(command));
    }

    /// Anything.
    pub fn push(&mut self, request: Request) {
        self.requests.push(request);
    }

    /// A hint for the status bar about what the pointer is over. The last one counts.
    pub fn hint(&mut self, text: impl Into<String>) {
        self.hint = Some(text.into());
    }

    /// Hands over what was asked for since the last time.
    pub fn take(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    /// Hands over the hint.
    pub fn take_hint(&mut self) -> Option<String> {
        self.hint.take()
    }
}

/// What a panel is given.
pub struct PanelContext<'a> {
    /// The project, its runs and jobs, for reading.
    pub session: &'a Session,
    /// The pictures.
    pub pictures: &'a mut PictureCache,
    /// Where wishes go.
    pub outbox: &'a mut Outbox,
}
