//! Texts that are more than a label, and how numbers, times and places are written.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boxwright_core::{ReviewState, Split};

/// The program's name.
pub const PROGRAM: &str = "Boxwright";
/// The start screen.
pub const START: &str = "Draw boxes, train a detector, look at what it finds.";
/// What the start screen accepts.
pub const START_DROP: &str = "Or drop a project, or a folder of images, anywhere on this window.";
/// Of a field that does what the schema says.
pub const HONOURED: &str = "Honoured here";
/// Of a field that is done differently, and no number depends on it much.
pub const APPROXIMATED: &str = "Approximated here";
/// Of a field that would change the numbers and cannot be done.
pub const REFUSED: &str = "Refused here: a run with it does not start";
/// No image yet.
pub const NO_IMAGES: &str = "No images yet. Drop a folder here, or add one.";
/// The filter hides all.
pub const NO_MATCH: &str = "No image matches the filter.";
/// No class yet.
pub const NO_CLASSES: &str = "No classes yet. Draw a box and name it, or add a class.";
/// No box on this image.
pub const NO_BOXES: &str = "No boxes on this image. Press W and drag, or B if there is nothing to find.";
/// No run yet.
pub const NO_RUNS: &str = "No run yet. Press Train to start one.";
/// A run without numbers.
pub const NO_METRICS: &str = "The first numbers come after a few steps.";
/// A run that was not measured yet.
pub const NO_EVALUATION: &str = "The run has not been measured yet.";
/// No detections yet.
pub const NO_DETECTIONS: &str = "No detections yet. They are made when a run is evaluated.";
/// No pipeline.
pub const NO_PIPELINE: &str = "No pipeline yet. A template fills in the classes and the records of this project.";
/// Everything is right.
pub const NO_PROBLEMS: &str = "No problems.";

/// `1234567` as `1 234 567`, with narrow no-break spaces.
pub fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// `1 box`, `12 boxes`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", group_digits(number as u64), if number == 1 { one } else { many })
}

/// How long something takes or took: `8 s`, `4 min`, `2 h 5 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    let s = seconds.round().min(1e9) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", (s + 30) / 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

/// How long ago: `just now`, `4 min ago`, `3 days ago`.
pub fn ago(since: Duration) -> String {
    match since.as_secs() {
        0..10 => "just now".to_owned(),
        s @ 10..60 => format!("{s} s ago"),
        s @ 60..3600 => format!("{} min ago", s / 60),
        s @ 3600..86_400 => format!("{} h ago", s / 3600),
        s => count((s / 86_400) as usize, "day ago", "days ago"),
    }
}

/// How long ago a time in seconds since 1970 was.
pub fn ago_unix(seconds: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(seconds);
    ago(SystemTime::now().duration_since(then).unwrap_or_default())
}

/// The clock time of a moment, `14:02:11`, in the machine's time zone.
pub fn clock(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let local = seconds.saturating_add_signed(utc_offset_seconds(seconds));
    format!("{:02}:{:02}:{:02}", local / 3600 % 24, local / 60 % 60, local % 60)
}

/// How far the machine's time zone is from UTC at a moment.
#[cfg(unix)]
fn utc_offset_seconds(unix_seconds: u64) -> i64 {
    let Ok(time) = libc::time_t::try_from(unix_seconds) else { return 0 };
    let mut local = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call, and localtime_r writes only to the second. A
    // zeroed `tm` is a valid one, so reading it is sound even where the call fails.
    unsafe {
        libc::localtime_r(&time, local.as_mut_ptr());
        local.assume_init().tm_gmtoff
    }
}

#[cfg(not(unix))]
fn utc_offset_seconds(_unix_seconds: u64) -> i64 {
    0
}

/// A number that changes while a person looks: as many digits as matter.
pub fn metric(value: f64) -> String {
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}

/// A number on an axis.
pub fn axis(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v >= 0.001 => format!("{:.4}", value).trim_end_matches('0').trim_end_matches('.').to_owned(),
        _ => format!("{value:.0e}"),
    }
}

/// `0.873` as `87.3 %`; a missing value as a dash.
pub fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| "–".to_owned(), |f| format!("{:.1} %", f * 100.0))
}

/// The word of a review state.
pub const fn state(state: ReviewState) -> &'static str {
    match state {
        ReviewState::New => "New",
        ReviewState::Annotated => "Annotated",
        ReviewState::Verified => "Verified",
        ReviewState::Background => "Background",
    }
}

/// The word of a split.
pub const fn split(split: Split) -> &'static str {
    match split {
        Split::Unassigned => "No split",
        Split::Train => "Train",
        Split::Val => "Val",
        Split::Test => "Test",
    }
}

/// A path with its middle left out where it is long.
pub fn short_path(path: &str, most_chars: usize) -> String {
    let chars: Vec<char> = path.chars().collect();
    if chars.len() <= most_chars || most_chars < 5 {
        return path.to_owned();
    }
    let head = (most_chars - 1) / 3;
    let tail = most_chars - 1 - head;
    let mut text: String = chars[..head].iter().collect();
    text.push('…');
    text.extend(&chars[chars.len() - tail..]);
    text
}

/// The line of a problem's place, like `line 12, column 3`; 1 where it names none.
pub fn line_of(place: &str) -> Option<usize> {
    let rest = place.split("line ").nth(1)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(group_digits(0), "0");
        assert_eq!(group_digits(999), "999");
        assert_eq!(group_digits(1_234_567), "1\u{a0}234\u{a0}567");
        assert_eq!(count(1, "box", "boxes"), "1 box");
        assert_eq!(duration(7.6), "8 s");
        assert_eq!(duration(241.0), "4 min");
        assert_eq!(duration(7500.0), "2 h 5 min");
        assert_eq!(duration(f64::NAN), "unknown");
        assert_eq!(ago(Duration::from_secs(3)), "just now");
        assert_eq!(ago(Duration::from_secs(7200)), "2 h ago");
        assert_eq!(metric(0.5), "0.5000");
        assert_eq!(metric(0.00002), "2.00e-5");
        assert_eq!(percent(None), "–");
    }

    #[test]
    fn clock_is_a_time_of_day() {
        let text = clock(UNIX_EPOCH + Duration::from_secs(86_399));
        assert_eq!(text.len(), 8);
        assert!(text.ends_with(":59"), "{text}");
    }

    #[test]
    fn places_and_paths() {
        assert_eq!(line_of("line 12, column 3"), Some(12));
        assert_eq!(line_of("record 4"), None);
        assert_eq!(short_path("abc", 10), "abc");
        let short = short_path("a/very/long/path/to/a/picture.jpg", 20);
        assert!(short.chars().count() == 20 && short.ends_with("picture.jpg"), "{short}");
    }
}
