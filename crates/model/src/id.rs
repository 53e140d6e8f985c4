//! Ids of 128 bits, shown as 32 hexadecimal digits.

use std::fmt;

use sha2::{Digest, Sha256};

/// The id of an event: derived from what the source calls it, or new by construction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u128);

/// The id of an alert, derived from rule, version, key and bucket, so that a replay finds the same row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(pub u128);

/// Hashes `parts` to 128 bits, each part with its length, so that no two lists of parts look alike.
///
/// SHA-256, cut: an id must not be forgeable by somebody who may choose only some of the parts.
#[must_use]
pub fn digest128(parts: &[&[u8]]) -> u128 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let full = hasher.finalize();
    let mut cut = [0_u8; 16];
    cut.copy_from_slice(&full[..16]);
    u128::from_be_bytes(cut)
}

impl EventId {
    /// Derives the id of what `source`, heard through `input`, calls `own_id`.
    #[must_use]
    pub fn of_source(input: &str, source: &str, own_id: &str) -> Self {
        Self(digest128(&[b"source", input.as_bytes(), source.as_bytes(), own_id.as_bytes()]))
    }

    /// Derives the id of record `index` of the request that `input` sent with an `Idempotency-Key`.
    #[must_use]
    pub fn of_request(input: &str, key: &str, index: u64) -> Self {
        Self(digest128(&[b"request", input.as_bytes(), key.as_bytes(), &index.to_le_bytes()]))
    }

    /// Derives the id of the record at `offset` of a file; `file` tells one file from the next of the same name.
    #[must_use]
    pub fn of_file(input: &str, file: &str, offset: u64) -> Self {
        Self(digest128(&[b"file", input.as_bytes(), file.as_bytes(), &offset.to_le_bytes()]))
    }

    /// Makes the id of the record with number `sequence` of the log with `tag`: new by construction.
    #[must_use]
    pub const fn of_place(tag: u64, sequence: u64) -> Self {
        Self(((tag as u128) << 64) | sequence as u128)
    }

    /// The upper half: it orders events of equal time, and for ids of [`Self::of_place`] it is the tag.
    #[must_use]
    pub const fn upper(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The lower half; for ids of [`Self::of_place`] the sequence number.
    #[must_use]
    pub const fn lower(self) -> u64 {
        self.0 as u64
    }
}

macro_rules! hexadecimal {
    ($name:ident) => {
        impl $name {
            /// Reads 32 hexadecimal digits.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                let is_hex = text.len() == 32 && text.bytes().all(|it| it.is_ascii_hexdigit());
                is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
    };
}

hexadecimal!(EventId);
hexadecimal!(AlertId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_parts_counts() {
        assert_ne!(digest128(&[b"ab", b"c"]), digest128(&[b"a", b"bc"]));
        assert_ne!(EventId::of_source("a", "b", "1"), EventId::of_source("b", "a", "1"));
    }

    #[test]
    fn text_is_read_back() {
        let id = EventId(0x00ab_0000_0000_0000_0000_0000_0000_00cd);
        assert_eq!(id.to_string(), "00ab00000000000000000000000000cd");
        assert_eq!(EventId::from_text(&id.to_string()), Some(id));
        for wrong in ["", "no-such-event", "+0ab00000000000000000000000000cd", "00ab00000000000000000000000000cd0"] {
            assert_eq!(EventId::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_id_by_construction_tells_its_place() {
        let id = EventId::of_place(7, 42);
        assert_eq!((id.upper(), id.lower()), (7, 42));
    }
}
