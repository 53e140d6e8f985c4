//! The escapes of HTML, JavaScript, CSS and C.

use super::{hex_byte, hex_value, narrow};

/// The named references that are undone. Rules expect these and no others.
const ENTITIES: &[(&[u8], u8)] = &[(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xa0)];

/// Undoes `&name;`, `&#DD;` and `&#xHH;`; the semicolon may be missing. Of a number above 255 the lower byte stays.
pub(super) fn html(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let entity = if *byte == b'&' { entity(&text[at + 1..]) } else { None };
        let (byte, length) = entity.map_or((*byte, 1), |(byte, length)| (byte, length + 1));
        out.push(byte);
        at += length;
    }
}

/// The byte that the reference after `&` stands for, and its length.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    let (byte, length) = match text {
        [b'#', b'x' | b'X', rest @ ..] => number(rest, 16).map(|it| (it.0, it.1 + 2))?,
        [b'#', rest @ ..] => number(rest, 10).map(|it| (it.0, it.1 + 1))?,
        _ => {
            let length = text.iter().take_while(|it| it.is_ascii_alphanumeric()).take(8).count();
            let name = &text[..length];
            ENTITIES.iter().find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| (it.1, length))?
        }
    };
    Some((byte, length + usize::from(text.get(length) == Some(&b';'))))
}

/// The lower byte of the number at the beginning of `text`, and how many digits it has.
fn number(text: &[u8], base: u32) -> Option<(u8, usize)> {
    let digits = text.iter().map_while(|it| char::from(*it).to_digit(base));
    let next = |(value, length): (u32, usize), digit| (value.wrapping_mul(base).wrapping_add(digit), length + 1);
    let (value, length) = digits.fold((0, 0), next);
    (0 < length).then_some((value.to_le_bytes()[0], length))
}

/// Undoes `\uHHHH`, `\xHH`, `\OOO` and `\n`; another character after a backslash stays without it.
pub(super) fn javascript(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let rest = &text[at + 1..];
        let (byte, length) = match (byte, rest) {
            (b'\\', [b'u', digits @ ..]) => narrow(digits).map_or((b'u', 2), |it| (it, 6)),
            (b'\\', [b'x', digits @ ..]) => hex_byte(digits).map_or((b'x', 2), |it| (it, 4)),
            (b'\\', [b'0'..=b'7', ..]) => {
                let (value, length) = octal(rest);
                (value, length + 1)
            }
            (b'\\', [it, ..]) => (control(*it).unwrap_or(*it), 2),
            (it, _) => (*it, 1),
        };
        out.push(byte);
        at += length;
    }
}

/// Undoes the escapes of C; a backslash before anything else stays.
pub(super) fn ansi_c(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let rest = &text[at + 1..];
        let (byte, length) = match (byte, rest) {
            (b'\\', [b'x' | b'X', digits @ ..]) => hex_byte(digits).map_or((b'\\', 1), |it| (it, 4)),
            (b'\\', [b'0'..=b'7', ..]) => {
                let (value, length) = octal(rest);
                (value, length + 1)
            }
            (b'\\', [it @ (b'\\' | b'?' | b'\'' | b'"'), ..]) => (*it, 2),
            (b'\\', [it, ..]) => control(*it).map_or((b'\\', 1), |it| (it, 2)),
            (it, _) => (*it, 1),
        };
        out.push(byte);
        at += length;
    }
}

/// Undoes `\H` to `\HHHHHH` with one white space after it; of the number the lower byte stays.
pub(super) fn css(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let digits = text[at..].iter().take_while(|it| it.is_ascii_hexdigit()).take(6).count();
        match (digits, text.get(at)) {
            // At the end, a backslash stands for nothing.
            (0, None) => {}
            // A continued line.
            (0, Some(b'\n')) => at += 1,
            (0, Some(it)) => {
                out.push(*it);
                at += 1;
            }
            _ => {
                out.push(css_byte(&text[at..at + digits]));
                at += digits;
                at += usize::from(text.get(at).is_some_and(u8::is_ascii_whitespace));
            }
        }
    }
}

/// The byte for one to six hexadecimal digits.
fn css_byte(digits: &[u8]) -> u8 {
    let wide = digits.len().checked_sub(4).and_then(|from| narrow(&digits[from..]));
    let last_two = || digits.iter().rev().take(2).rev().fold(0, |sum, it| sum << 4 | hex_value(*it).unwrap_or(0));
    wide.unwrap_or_else(last_two)
}

/// The control character that a letter after a backslash stands for.
fn control(letter: u8) -> Option<u8> {
    let pairs = [(b'a', 7), (b'b', 8), (b'f', 12), (b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'v', 11)];
    pairs.iter().find(|it| it.0 == letter).map(|it| it.1)
}

/// The lower byte of at most three octal digits, and how many there are.
fn octal(text: &[u8]) -> (u8, usize) {
    let digits = text.iter().take_while(|it| (b'0'..=b'7').contains(*it)).take(3);
    digits.fold((0, 0), |(value, length), digit| (value << 3 | (digit - b'0'), length + 1))
}
