//! Base64 with the standard alphabet and padding. Source: RFC 4648, section 4.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (group >> (18 - 6 * digit)) & 63;
            out.push(if digit <= chunk.len() { char::from(ALPHABET[index as usize]) } else { '=' });
        }
    }
    out
}

/// Decodes a text; `None` when it is none.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || 2 < text.len() - digits.len() {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|it| *it == digit)?;
        bits = (bits << 6 | value as u32) & 0xffff;
        held += 6;
        if 8 <= held {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    // What is left over must say nothing, else two texts would be the same bytes.
    (bits & ((1 << held) - 1) == 0 && held < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_go_both_ways() {
        let examples = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in examples {
            assert_eq!(encode(plain.as_bytes()), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(plain.as_bytes()), "{encoded}");
        }
        assert_eq!(decode(&encode(&[0, 255, 254, 62, 63])), Some(vec![0, 255, 254, 62, 63]));
    }

    #[test]
    fn what_is_no_base64_is_none() {
        for text in ["Z", "Zg", "Zg=", "Zg===", "====", "Zh==", "Z!==", "Zm9v\n", "Zg==Zg==", "Zm-_"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
