//! What "case-insensitive" means: each character is folded by itself, to exactly one character.
//!
//! ASCII folds to ASCII and nothing else folds to ASCII, so an ASCII needle may be compared byte by byte.

/// Folds one character; the Greek final sigma equals the other two, the Kelvin sign stays itself.
pub(crate) fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let upper = single(c.to_uppercase()).unwrap_or(c);
    let lower = single(upper.to_lowercase()).unwrap_or(upper);
    if lower.is_ascii() { c } else { lower }
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    chars.next().filter(|_| chars.next().is_none())
}

/// Appends `text` folded. One pass over the bytes when it is ASCII.
pub(crate) fn fold_into(out: &mut String, text: &str) {
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        if let Some(tail) = out.get_mut(start..) {
            tail.make_ascii_lowercase();
        }
    } else {
        out.extend(text.chars().map(fold_char));
    }
}

/// Returns `text` folded.
#[cfg(test)]
pub(crate) fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    fold_into(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folds_more_than_ascii() {
        for (one, other) in [("ÄPFEL", "äpfel"), ("ΟΔΟΣ", "οδος"), ("ПРИВЕТ", "привет"), ("Straße", "STRAßE")]
        {
            assert_eq!(folded(one), folded(other));
        }
        assert_ne!(folded("\u{212a}"), "k");
        assert_ne!(folded("\u{130}"), "i");
    }

    proptest! {
        #[test]
        fn keeps_the_number_of_characters_and_the_border_of_ascii(c in any::<char>()) {
            prop_assert_eq!(c.is_ascii(), fold_char(c).is_ascii());
            prop_assert_eq!(folded(&c.to_string()).chars().count(), 1);
        }

        #[test]
        fn the_ascii_path_equals_the_slow_one(text in "[ -~]{0,40}") {
            prop_assert_eq!(folded(&text), text.chars().map(fold_char).collect::<String>());
        }
    }
}
