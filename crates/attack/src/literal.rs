//! The shared scan: one pass over a text finds what is an attack by its words alone, and which checks have to look closer.
//!
//! The words are in `words`.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use crate::hit::Hit;
use crate::report::Family;
use crate::words::WORDS;

/// Which checks a text calls for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls(pub(crate) u16);

impl Calls {
    /// Words of SQL.
    pub(crate) const SQL: u16 = 1;
    /// Markup or handlers.
    pub(crate) const MARKUP: u16 = 2;
    /// Script.
    pub(crate) const SCRIPT: u16 = 4;
    /// Paths.
    pub(crate) const PATH: u16 = 8;
    /// Commands.
    pub(crate) const SHELL: u16 = 16;
    /// Templates and look-ups.
    pub(crate) const TEMPLATE: u16 = 32;
    /// XML.
    pub(crate) const XML: u16 = 64;
    /// Addresses.
    pub(crate) const ADDRESS: u16 = 128;

    /// Objects that are written as text.
    pub(crate) const OBJECT: u16 = 256;

    /// Every check, also those that bytes alone call for.
    pub(crate) const ALL: u16 = u16::MAX;

    /// Whether every check is to run.
    pub(crate) const fn is_all(self) -> bool {
        self.0 == Self::ALL
    }

    /// Whether a check is called for.
    pub(crate) const fn has(self, check: u16) -> bool {
        self.0 & check != 0
    }
}

/// What a word means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Means {
    /// These checks have to look.
    Calls(u16),
    /// An attack by itself.
    Sure(Family, &'static str),
    /// A hint by itself.
    Hint(Family, &'static str),
}

/// The scan, made once.
#[derive(Debug)]
pub(crate) struct Literals {
    scan: AhoCorasick,
    /// What every text calls for, whatever its words.
    always: Calls,
}

impl Literals {
    pub(crate) fn new() -> Self {
        let scan = AhoCorasickBuilder::new()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(WORDS.iter().map(|it| it.0))
            .expect("the words are few and short");
        Self { scan, always: Calls::default() }
    }

    /// A scan that calls for every check, whatever a text says: what the scan proper is held against.
    pub(crate) fn calling_for_all() -> Self {
        Self { always: Calls(Calls::ALL), ..Self::new() }
    }

    /// Whether every text calls for every check.
    pub(crate) const fn calls_for_all(&self) -> bool {
        self.always.is_all()
    }

    /// Scans a text in lower case: what calls for a closer look, and attacks by word alone to `found`.
    /// The second is where the first word that calls stands.
    pub(crate) fn scan(&self, text: &[u8], found: &mut dyn FnMut(Hit)) -> (Calls, usize) {
        let (mut calls, mut first) = (self.always, text.len());
        for hit in self.scan.find_overlapping_iter(text) {
            let at = hit.start()..text.len().min(hit.end() + 60);
            match WORDS[hit.pattern().as_usize()].1 {
                Means::Calls(it) => {
                    calls.0 |= it;
                    first = first.min(hit.start());
                }
                Means::Sure(family, check) => found(Hit::sure(family, check, at)),
                Means::Hint(family, check) => found(Hit::hint(family, check, at)),
            }
        }
        (calls, first)
    }
}

/// What words say by themselves.
#[cfg(test)]
pub(crate) fn told() -> impl Iterator<Item = (Family, &'static str)> {
    WORDS.iter().filter_map(|it| match it.1 {
        Means::Sure(family, check) | Means::Hint(family, check) => Some((family, check)),
        Means::Calls(_) => None,
    })
}
