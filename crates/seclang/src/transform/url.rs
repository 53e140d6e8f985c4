//! The encodings of addresses.

use super::{hex_byte, narrow};

/// Undoes `%HH` and `+`, and `%uHHHH` if `is_wide`. What is no escape stays.
pub(super) fn decode(text: &[u8], is_wide: bool, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let rest = &text[at + 1..];
        let (byte, length) = match byte {
            b'+' => (b' ', 1),
            b'%' if is_wide && matches!(rest.first(), Some(b'u' | b'U')) => match narrow(&rest[1..]) {
                Some(it) => (it, 6),
                None => (b'%', 1),
            },
            b'%' => match hex_byte(rest) {
                Some(it) => (it, 3),
                None => (b'%', 1),
            },
            it => (*it, 1),
        };
        out.push(byte);
        at += length;
    }
}

/// Undoes `%HH` and nothing else.
pub(super) fn decode_escapes(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let escaped = if *byte == b'%' { hex_byte(&text[at + 1..]) } else { None };
        out.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
}

/// Writes every byte but letters, digits and `*-._` as `%hh`, and a space as `+`.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'-' | b'.' | b'_' => out.push(*byte),
            it if it.is_ascii_alphanumeric() => out.push(*it),
            it => out.extend_from_slice(format!("%{it:02x}").as_bytes()),
        }
    }
}

/// Writes each character beyond ASCII as `%uhhhh`. Bytes that are no UTF-8 stay.
pub(super) fn utf8_to_unicode(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii() => out.push(byte),
                _ => out.extend_from_slice(format!("%u{:04x}", u32::from(character)).as_bytes()),
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
}
