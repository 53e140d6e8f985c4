//! The limits of what one record may be, and of what is copied from it. Each is a constant here or a setting of the edge
//! that enforces it.

use std::borrow::Cow;

/// The largest event, in bytes as sent. A record over it is refused as `too_large`: a longer one is no log line but a file.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// The longest text of one field, in bytes. A record over it is refused as `too_large`.
pub const FIELD_BYTES_MAX: usize = 64 * 1024;

/// How deep JSON may nest; the outermost object is 1. A record over it is refused as `too_deep`.
pub const DEPTH_MAX: usize = 64;

/// How many evidence ids an alert keeps of each end of its events.
pub const EVIDENCE_EACH_END: usize = 10;

/// How much of the first event is stored with an alert, in bytes of JSON. The whole event stays in the log.
pub const ALERT_EVENT_BYTES_MAX: usize = 16 << 10;

/// How much of a value is stored with an alert, in bytes of JSON: a matched value, a user, a title.
pub const ALERT_VALUE_BYTES_MAX: usize = 1 << 10;

/// How much of a sentence is stored with an alert, in bytes of JSON: its details, its description.
pub const ALERT_SENTENCE_BYTES_MAX: usize = 4 << 10;

/// How much is stored with an alert of the fields that matched, in bytes of JSON; further fields are left out.
pub const ALERT_MATCHED_BYTES_MAX: usize = 16 << 10;

/// What stands where a text was cut.
const CUT: char = '…';

/// Shortens `text` to at most `bytes_max` bytes, as JSON without its quotes; what is cut between two characters ends in `…`.
#[must_use]
pub fn shortened(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len().saturating_mul(ESCAPED_BYTES_MAX) <= bytes_max {
        return text.into();
    }
    let (mut bytes, mut end) = (0, 0);
    for (at, c) in text.char_indices() {
        if bytes + CUT.len_utf8() <= bytes_max {
            end = at;
        }
        bytes += json_bytes_of(c);
        if bytes_max < bytes {
            return format!("{}{CUT}", &text[..end]).into();
        }
    }
    text.into()
}

/// The longest that JSON makes of one byte: `\u0000`.
const ESCAPED_BYTES_MAX: usize = 6;

/// How many bytes a text takes as JSON, without its quotes.
#[must_use]
pub fn json_bytes(text: &str) -> usize {
    text.chars().map(json_bytes_of).sum()
}

const fn json_bytes_of(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if (c as u32) < 0x20 => ESCAPED_BYTES_MAX,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, bytes_max: usize, expected: &str) {
        let actual = shortened(text, bytes_max);
        assert_eq!(actual, expected, "{text:?}, {bytes_max}");
        assert!(json_bytes(&actual) <= bytes_max.max(CUT.len_utf8()));
    }

    #[test]
    fn a_text_within_the_limit_stays_and_the_next_is_cut() {
        check("12345678", 8, "12345678");
        check("123456789", 8, "12345…");
        check("", 0, "");
        check("1", 0, "…");
    }

    #[test]
    fn a_text_is_cut_between_characters_and_by_what_json_makes_of_it() {
        check("üüüü", 8, "üüüü");
        check("üüüüü", 8, "üü…");
        check("\0\0", 12, "\0\0");
        check("\0\0\0", 12, "\0…");
        check("\"\"\"", 5, "\"…");
    }
}
