//! Times as people write them on a command line.

use std::time::Duration;

/// Units, the largest first, with their seconds.
const UNITS: [(char, f64); 4] = [('d', 86_400.0), ('h', 3600.0), ('m', 60.0), ('s', 1.0)];

/// The longest time that is taken: ten years.
const LONGEST: f64 = 3650.0 * 86_400.0;

/// A time such as `30m`, `1h30m`, `1.5h`, `2d` or `90s`.
///
/// # Errors
/// It is no time, or not more than nothing, in words for the person who wrote it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = |what: &str| Err(format!("\"{text}\" {what}; write it like 30m, 1h30m, 1.5h or 90s"));
    let (mut seconds, mut number, mut largest) = (0.0, String::new(), f64::INFINITY);
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
            continue;
        }
        let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == c) else {
            return wrong("is no time");
        };
        match number.parse::<f64>() {
            // Every unit once, the larger before the smaller.
            Ok(count) if *unit < largest => seconds += count * unit,
            _ => return wrong("is no time"),
        }
        number.clear();
        largest = *unit;
    }
    if !number.is_empty() || text.trim().is_empty() {
        return wrong("has no unit at its end");
    }
    if seconds <= 0.0 || seconds > LONGEST {
        return wrong("is no time to train for");
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let seconds = |text: &str| parse(text).map(|time| time.as_secs_f64());
        for (text, wanted) in
            [("30m", 1800.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("2d 1s", 172_801.0), ("90s", 90.0)]
        {
            assert_eq!(seconds(text), Ok(wanted), "{text}");
        }
        for text in ["", "30", "m", "0s", "30m1h", "1h1h", "-5m", "1..5h", "9999999999d", "5 parsecs", "1h30"] {
            let error = seconds(text).expect_err(text);
            assert!(error.contains("30m"), "{error}");
        }
    }
}
