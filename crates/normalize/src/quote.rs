//! Quoting a value of somebody else's in a sentence of ours.

use model::json;

/// How many characters of a value a message quotes: enough to recognise it, too few to carry a payload.
const SHOWN_CHARS_MAX: usize = 64;

/// The longest JSON text of a value that is handed back as it is, in bytes.
const VALUE_BYTES_MAX: usize = 200;

/// Returns the beginning of `text` with control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == SHOWN_CHARS_MAX {
            out.push('…');
            break;
        }
        if c.is_control() || is_bidirectional_control(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Like [`shown`], for bytes that may be no text.
pub(crate) fn shown_bytes(bytes: &[u8]) -> String {
    let beginning = &bytes[..bytes.len().min(4 * SHOWN_CHARS_MAX)];
    shown(&String::from_utf8_lossy(beginning))
}

/// Returns `raw`, the JSON text of a value, or for a long one a JSON string of its beginning.
pub(crate) fn json_of_value(raw: &str) -> String {
    if raw.len() <= VALUE_BYTES_MAX {
        return raw.to_owned();
    }
    let mut out = String::new();
    json::push_text(&mut out, &shown(raw));
    out
}

/// Characters that turn the direction of what is printed after them.
const fn is_bidirectional_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_terminal_would_obey() {
        assert_eq!(shown("a\u{1b}[2J\u{202e}b"), "a\\u{1b}[2J\\u{202e}b");
    }

    #[test]
    fn shortens_at_64_characters_and_not_before() {
        assert_eq!(shown(&"ü".repeat(64)), "ü".repeat(64));
        assert_eq!(shown(&"ü".repeat(65)), format!("{}…", "ü".repeat(64)));
    }

    #[test]
    fn a_long_value_is_handed_back_as_a_string() {
        assert_eq!(json_of_value("[1,2]"), "[1,2]");
        assert!(json_of_value(&format!("[{}1]", "1,".repeat(200))).starts_with("\"[1,1"));
    }
}
