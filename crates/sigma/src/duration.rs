//! Durations as rules write them: a number and one letter.

use std::time::Duration;

/// The longest timespan or lateness: 366 days. A longer one could never be held in memory and is refused.
const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Reads `15s`, `5m`, `1h`, `7d`, `2w`, `1M` (2,629,746 s) or `1y` (31,556,952 s).
///
/// # Errors
///
/// Says what would do.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is no duration: write a number and one of s, m, h, d, w, M, y");
    let unit = text.chars().last().ok_or_else(refuse)?;
    let seconds_each: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        'M' => 2_629_746,
        'y' => 31_556_952,
        _ => return Err(refuse()),
    };
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(refuse());
    }
    let seconds = digits.parse::<u64>().ok().and_then(|it| it.checked_mul(seconds_each));
    seconds
        .map(Duration::from_secs)
        .filter(|it| *it <= DURATION_MAX)
        .ok_or_else(|| format!("`{text}` is longer than 366 days"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, seconds) in [
            ("0s", 0),
            ("15s", 15),
            ("2m", 120),
            ("1h", 3_600),
            ("366d", 31_622_400),
            ("1w", 604_800),
            ("1M", 2_629_746),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn refuses_other_texts() {
        for text in ["", "s", "5", "-5s", "+5s", "5 s", "5x", "1.5h", "367d", "99999999999999999999s", "5ä"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
