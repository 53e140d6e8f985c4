//! Base64, hexadecimal and SHA-1.

use super::{hex_byte, hex_value};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Decodes up to the first byte that is none of Base64; with `is_lenient` leaves such bytes out instead.
pub(super) fn base64_decode(text: &[u8], is_lenient: bool, out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text {
        let Some(value) = base64_value(*byte) else {
            if is_lenient && *byte != b'=' {
                continue;
            }
            break;
        };
        bits = bits << 6 | value;
        held += 6;
        if 8 <= held {
            held -= 8;
            out.push((bits >> held).to_le_bytes()[0]);
        }
    }
}

/// Encodes with padding.
pub(super) fn base64_encode(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.chunks(3) {
        let bytes = [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
        let bits = bytes.iter().fold(0_usize, |sum, it| sum << 8 | usize::from(*it));
        for position in 0..4 {
            let is_padding = chunk.len() < position;
            out.push(if is_padding { b'=' } else { ALPHABET[bits >> (18 - 6 * position) & 63] });
        }
    }
}

/// Writes two lower-case digits for each byte.
pub(super) fn hex_encode(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in text {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Reads pairs of digits; anything else counts as zero.
pub(super) fn hex_decode(text: &[u8], out: &mut Vec<u8>) {
    let pairs = text.chunks_exact(2);
    out.extend(pairs.map(|it| hex_value(it[0]).unwrap_or(0) << 4 | hex_value(it[1]).unwrap_or(0)));
}

/// Decodes `0x414243` as SQL reads it, wherever it stands.
pub(super) fn sql_hex_decode(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < text.len() {
        let digits = match &text[at..] {
            [b'0', b'x' | b'X', digits @ ..] => digits,
            _ => &[],
        };
        let mut pairs = digits.chunks_exact(2).map_while(hex_byte).peekable();
        if pairs.peek().is_none() {
            out.push(text[at]);
            at += 1;
            continue;
        }
        let before = out.len();
        out.extend(pairs);
        at += 2 + 2 * (out.len() - before);
    }
}

/// The SHA-1 digest. Rules take it for a short name of a text, not to keep anything secret.
///
/// Source: FIPS 180-4, section 6.1.
pub(super) fn sha1(text: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = text.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - text.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let at = padded.len() - 8;
    padded[at..].copy_from_slice(&(8 * text.len() as u64).to_be_bytes());
    for block in padded.chunks_exact(64) {
        sha1_block(&mut state, block);
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn sha1_block(state: &mut [u32; 5], block: &[u8]) {
    let mut words = [0_u32; 80];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |sum, it| sum << 8 | u32::from(*it));
    }
    for at in 16..80 {
        words[at] = (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (at, word) in words.iter().enumerate() {
        let (mixed, constant) = match at {
            0..20 => ((b & c) | (!b & d), 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6),
        };
        let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    for (sum, it) in state.iter_mut().zip([a, b, c, d, e]) {
        *sum = sum.wrapping_add(it);
    }
}
