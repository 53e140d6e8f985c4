//! Texts as PostgreSQL takes them: a `text` holds every character but NUL.
//!
//! What was sent by anybody may hold one, and is to be found and read back as it was. So NUL is written as two characters
//! that begin with one that no text uses, and that one is written as two itself.

use std::borrow::Cow;

/// What begins the two: no character, by the standard, and valid UTF-8 all the same.
const ESCAPE: char = '\u{fdd0}';

/// Writes a text as it is stored; equal texts stay equal, others different.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => out.extend([ESCAPE, '0']),
            ESCAPE => out.extend([ESCAPE, '1']),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// Reads what [`stored`] wrote.
pub(super) fn told(text: String) -> String {
    if !text.contains(ESCAPE) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE => out.push(if characters.next() == Some('0') { '\0' } else { ESCAPE }),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_back_and_none_holds_nul() {
        for text in ["", "plain", "a\0b", "\0\0", "\u{fdd0}", "\u{fdd0}0", "\u{fdd0}\0", "0\u{fdd0}1", "\u{1f600}"] {
            let there = stored(text);
            assert!(!there.contains('\0'), "{text:?}");
            assert_eq!(told(there.into_owned()), text);
        }
        assert_ne!(stored("\u{fdd0}0"), stored("\0"));
    }
}
