//! The encodings that modifiers ask for: Base64 and UTF-16.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes with padding. Source: RFC 4648, section 4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4_usize {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            out.push(if place <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    out
}

/// Returns what `bytes` look like in the Base64 of a longer text, for each of the three places modulo 3 where
/// they may begin. Characters that also depend on the neighbours are cut off.
pub(crate) fn base64_offsets(bytes: &[u8]) -> [String; 3] {
    [0, 1, 2].map(|offset: usize| {
        let mut padded = vec![b' '; offset];
        padded.extend_from_slice(bytes);
        let encoded = base64(&padded);
        let start = [0, 2, 3][offset];
        let end = encoded.len() - [0, 3, 2][padded.len() % 3];
        encoded.get(start..end).unwrap_or_default().to_owned()
    })
}

/// Encodes as UTF-16, lower byte first.
pub(crate) fn utf16_little_endian(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Encodes as UTF-16, higher byte first.
pub(crate) fn utf16_big_endian(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encodes_the_examples_of_the_standard() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn encodes_both_byte_orders() {
        assert_eq!(utf16_little_endian("aé"), [b'a', 0, 0xe9, 0]);
        assert_eq!(utf16_big_endian("aé"), [0, b'a', 0, 0xe9]);
    }

    proptest! {
        #[test]
        fn some_offset_is_found_wherever_the_text_stands(before in "[a-z]{0,7}", text in ".{2,12}", after in "[a-z]{0,7}") {
            let encoded = base64(format!("{before}{text}{after}").as_bytes());
            let offsets = base64_offsets(text.as_bytes());
            prop_assert!(encoded.contains(&offsets[before.len() % 3]));
        }
    }
}
