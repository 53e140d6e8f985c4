//! What a check says of a text.

use std::ops::Range;

use crate::report::Family;

/// Something that a check found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The kind of attack.
    pub(crate) family: Family,
    /// The stable word of the check.
    pub(crate) check: &'static str,
    /// Where it stands in the text.
    pub(crate) at: Range<usize>,
    /// How sure the check is, 0 to 100.
    pub(crate) confidence: u8,
    /// What it adds to the score.
    pub(crate) score: u32,
}

impl Hit {
    /// An attack beyond doubt: reaches the threshold alone.
    pub(crate) const fn sure(family: Family, check: &'static str, at: Range<usize>) -> Self {
        Self { family, check, at, confidence: 90, score: 5 }
    }

    /// A hint that needs another to count as an attack.
    pub(crate) const fn hint(family: Family, check: &'static str, at: Range<usize>) -> Self {
        Self { family, check, at, confidence: 50, score: 2 }
    }
}
