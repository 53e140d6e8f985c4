//! Texts in UTF-16 and UTF-32, as parsers of JSON and XML take them, with or without a mark at their beginning.

/// How a text is written: bytes of a character, and whether the highest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Width {
    bytes: usize,
    is_big_endian: bool,
}

/// Returns `text` in UTF-8 where it is in UTF-16 or UTF-32; what is no character becomes U+FFFD. `None`: it is in neither.
///
/// Without a mark it is known by the zeros of its first two characters, which are of ASCII in every document.
/// Source: RFC 4627, section 3; XML 1.0, appendix F.
pub(crate) fn to_utf8(text: &[u8]) -> Option<Vec<u8>> {
    let (width, mark) = width_of(text)?;
    let rest = &text[mark..];
    let characters = rest.chunks_exact(width.bytes).map(|it| {
        let number = |sum: u32, byte: &u8| sum << 8 | u32::from(*byte);
        if width.is_big_endian { it.iter().fold(0, number) } else { it.iter().rev().fold(0, number) }
    });
    let text: String = if width.bytes == 2 {
        // Two bytes are never more than a `u16`.
        let units = characters.map(|it| u16::try_from(it).unwrap_or_default());
        char::decode_utf16(units).map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    } else {
        characters.map(|it| char::from_u32(it).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    Some(text.into_bytes())
}

/// The width of a text, and how long its mark is.
fn width_of(text: &[u8]) -> Option<(Width, usize)> {
    let width = |bytes, is_big_endian, mark| Some((Width { bytes, is_big_endian }, mark));
    match *text {
        [0xff, 0xfe, 0, 0, ..] => width(4, false, 4),
        [0, 0, 0xfe, 0xff, ..] => width(4, true, 4),
        [0xff, 0xfe, ..] => width(2, false, 2),
        [0xfe, 0xff, ..] => width(2, true, 2),
        [0, 0, 0, first, ..] if is_first(first) => width(4, true, 0),
        [first, 0, 0, 0, ..] if is_first(first) => width(4, false, 0),
        [0, first, 0, second, ..] if is_first(first) && second != 0 => width(2, true, 0),
        [first, 0, second, 0, ..] if is_first(first) && second != 0 => width(2, false, 0),
        _ => None,
    }
}

/// Whether a document may begin with a character.
fn is_first(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: Option<&str>) {
        let actual = to_utf8(text);
        assert_eq!(actual.as_deref(), expected.map(str::as_bytes), "{text:?}");
    }

    #[test]
    fn reads_either_order_with_and_without_a_mark() {
        check(b"\xff\xfe{\0}\0", Some("{}"));
        check(b"\xfe\xff\0{\0}", Some("{}"));
        check(b"{\0}\0", Some("{}"));
        check(b"\0{\0}", Some("{}"));
        check(b"\xff\xfe\0\0{\0\0\0", Some("{"));
        check(b"\0\0\xfe\xff\0\0\0{", Some("{"));
        check(b"{\0\0\0}\0\0\0", Some("{}"));
        check(b"\0\0\0{\0\0\0}", Some("{}"));
    }

    #[test]
    fn what_is_no_character_is_replaced_and_what_is_too_short_left_out() {
        check(b"\xff\xfea\0\0\xd8b\0c", Some("a\u{fffd}b"));
        check(b"\0\0\0a\xff\xff\xff\xff", Some("a\u{fffd}"));
        check(b"\xff\xfea\0\x3d\xd8\x00\xde", Some("a\u{1f600}"));
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in [&b""[..], b"{", b"{}", b"{\"a\":1}", b"\0\0\0\0", b"\x01\0\0\0", b"PK\x03\x04", b"GIF89a\0\0"] {
            check(text, None);
        }
    }
}
