//! Finds which of thousands of literals a text holds, in any case of ASCII letters.
//!
//! Of each literal the rarest few bytes are looked for: a table of bits says at each place whether any literal has what
//! stands there, and only then literals are compared. An automaton of so many literals fits no cache, and took most of the
//! time of long bodies.

/// How many bytes of a literal are looked for at most.
const WINDOW_MAX: usize = 4;
/// Bits of the hash for the tables of bits: 16 KiB each, which stay in the cache of the processor.
const HASH_BITS: u32 = 17;
/// Bits of it for the lists of literals.
const SLOT_BITS: u32 = 12;
/// How many literals are remembered as found during a search; more are found each time they occur.
const SEEN_MAX: usize = 8192;

/// Words of a table of bits.
const WORDS: usize = 1 << (HASH_BITS - 6);

/// A searcher for literals.
#[derive(Clone, Debug)]
pub(crate) struct Searcher {
    /// The literals in lower case.
    literals: Box<[Box<[u8]>]>,
    /// Those of one byte, with their numbers.
    singles: Box<[(u8, usize)]>,
    /// Those that are looked for by 2, 3 and 4 of their bytes.
    tables: [Table; 3],
}

/// Literals that are looked for by as many bytes.
#[derive(Clone, Debug)]
struct Table {
    /// A bit for each hash.
    bits: Box<[u64; WORDS]>,
    /// Where the entries of each slot begin, and one more.
    slots: Box<[u32]>,
    entries: Box<[Entry]>,
}

/// A literal, and how far the end of what is looked for is from its beginning.
#[derive(Clone, Copy, Debug)]
struct Entry {
    literal: u32,
    end: u32,
}

impl Searcher {
    /// Makes one for literals that are not empty; empty ones are never found.
    pub(crate) fn new(literals: &[Vec<u8>]) -> Self {
        let literals: Box<[Box<[u8]>]> = literals.iter().map(|it| it.to_ascii_lowercase().into_boxed_slice()).collect();
        let singles = literals.iter().enumerate().filter(|it| it.1.len() == 1).map(|it| (it.1[0], it.0)).collect();
        Self { singles, tables: [2, 3, 4].map(|width| Table::new(&literals, width)), literals }
    }

    /// Calls `found` with the number of each literal that `text` holds, mostly once.
    pub(crate) fn find(&self, text: &[u8], mut found: impl FnMut(usize)) {
        for (byte, number) in &self.singles {
            if memchr::memchr2(*byte, byte.to_ascii_uppercase(), text).is_some() {
                found(*number);
            }
        }
        let mut seen = [0_u64; SEEN_MAX / 64];
        let mut window = 0_u32;
        let [two, three, four] = &self.tables;
        for (at, byte) in text.iter().enumerate() {
            window = window << 8 | u32::from(LOWER[usize::from(*byte)]);
            let hashes = MASKS.map(|it| hash_of(window & it));
            // Nearly always nothing: one branch for all three.
            if two.bit(hashes[0]) | three.bit(hashes[1]) | four.bit(hashes[2]) == 0 {
                continue;
            }
            for (table, hash) in self.tables.iter().zip(hashes) {
                if table.bit(hash) != 0 {
                    self.compare(table, hash, &text[..=at], text, &mut seen, &mut found);
                }
            }
        }
    }

    /// Compares the literals of a slot with what stands around the end of `before`.
    fn compare(
        &self,
        table: &Table,
        hash: u32,
        before: &[u8],
        text: &[u8],
        seen: &mut [u64; SEEN_MAX / 64],
        found: &mut impl FnMut(usize),
    ) {
        for Entry { literal, end } in table.entries_of(hash) {
            let number = *literal as usize;
            let (word, bit) = (number / 64, 1 << (number % 64));
            if seen.get(word).is_some_and(|it| it & bit != 0) {
                continue;
            }
            let literal = &self.literals[number];
            let begin = before.len().checked_sub(*end as usize);
            let place = begin.and_then(|it| text.get(it..it + literal.len()));
            if place.is_some_and(|it| it.eq_ignore_ascii_case(literal)) {
                if let Some(word) = seen.get_mut(word) {
                    *word |= bit;
                }
                found(number);
            }
        }
    }
}

/// The bytes of a window that count, for each width.
const MASKS: [u32; 3] = [0xffff, 0xff_ffff, u32::MAX];

/// Bytes in lower case.
const LOWER: [u8; 256] = {
    let (mut lower, mut at) = ([0; 256], 0);
    while at < 256 {
        lower[at] = (at as u8).to_ascii_lowercase();
        at += 1;
    }
    lower
};

impl Table {
    /// The literals whose window has `width` bytes.
    fn new(literals: &[Box<[u8]>], width: usize) -> Self {
        let is_of_it = |it: &[u8]| it.len().min(WINDOW_MAX) == width;
        let mut placed: Vec<(u32, Entry)> = (0_u32..)
            .zip(literals)
            .filter(|it| is_of_it(it.1))
            .map(|(literal, bytes)| {
                let begin = rarest(bytes, width);
                let window = bytes[begin..begin + width].iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                // A literal is at most as long as a rule.
                let end = u32::try_from(begin + width).unwrap_or(u32::MAX);
                (hash_of(window), Entry { literal, end })
            })
            .collect();
        placed.sort_by_key(|it| slot_of(it.0));
        let mut bits = Box::new([0; WORDS]);
        placed.iter().for_each(|it| bits[it.0 as usize / 64] |= 1 << (it.0 % 64));
        let begin = |slot: u32| placed.partition_point(|it| slot_of(it.0) < slot);
        let slots = (0..=1 << SLOT_BITS).map(|it| u32::try_from(begin(it)).unwrap_or(u32::MAX)).collect();
        Self { bits, slots, entries: placed.iter().map(|it| it.1).collect() }
    }

    /// 1 where a literal has a window of this hash, else 0.
    fn bit(&self, hash: u32) -> u64 {
        self.bits[hash as usize / 64 % WORDS] >> (hash % 64) & 1
    }

    fn entries_of(&self, hash: u32) -> &[Entry] {
        let slot = slot_of(hash) as usize;
        &self.entries[self.slots[slot] as usize..self.slots[slot + 1] as usize]
    }
}

const fn hash_of(window: u32) -> u32 {
    window.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)
}

const fn slot_of(hash: u32) -> u32 {
    hash >> (HASH_BITS - SLOT_BITS)
}

/// Where the `width` bytes of a literal begin that texts have most seldom.
fn rarest(literal: &[u8], width: usize) -> usize {
    let weight = |it: &[u8]| it.iter().map(|it| commonness(*it)).sum::<u32>();
    let begins = literal.windows(width).enumerate();
    begins.min_by_key(|it| weight(it.1)).map_or(0, |it| it.0)
}

/// How often a byte stands in texts, roughly.
const fn commonness(byte: u8) -> u32 {
    match byte {
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' => 9,
        b's' | b'r' | b'h' | b'l' | b'd' | b'c' | b'u' | b'm' => 6,
        b'"' | b',' | b':' | b'/' | b'.' | b'=' | b'-' | b'0'..=b'9' => 5,
        b'a'..=b'z' => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What the obvious search finds.
    fn slowly(literals: &[Vec<u8>], text: &[u8]) -> BTreeSet<usize> {
        let is_in = |it: &Vec<u8>| text.windows(it.len()).any(|part| part.eq_ignore_ascii_case(it));
        (0..literals.len()).filter(|it| !literals[*it].is_empty() && is_in(&literals[*it])).collect()
    }

    #[track_caller]
    fn check(literals: &[Vec<u8>], text: &[u8]) {
        let mut actual = BTreeSet::new();
        Searcher::new(literals).find(text, |it| {
            actual.insert(it);
        });
        assert_eq!(actual, slowly(literals, text), "{}", text.escape_ascii());
    }

    #[test]
    fn finds_literals_of_any_length_in_any_case_and_wherever_they_are() {
        let literals: Vec<Vec<u8>> =
            ["", ";", "or", "OR 1", "union", "unionselect", "\0", "\0\0\0", "/etc/passwd", "\u{e4}b"]
                .iter()
                .map(|it| it.as_bytes().to_vec())
                .collect();
        for text in
            ["", "o", "or", "for 1;", "UNION", "unionselec", "xUnionSelectx", "\0", "\0\0\0", "/ETC/passwd", "\u{e4}B"]
        {
            check(&literals, text.as_bytes());
        }
        check(&[], b"or");
    }

    #[test]
    fn finds_each_of_more_literals_than_it_remembers() {
        let literals: Vec<Vec<u8>> = (0..SEEN_MAX + 100).map(|it| format!("l{it}x").into_bytes()).collect();
        let text = literals.concat();
        let mut count = 0;
        Searcher::new(&literals).find(&text, |_| count += 1);
        assert_eq!(count, literals.len());
    }

    proptest! {
        #[test]
        fn finds_what_the_obvious_search_finds(
            literals in prop::collection::vec("[a-cA-C ;]{0,6}", 0..20),
            text in "[a-cA-C ;]{0,60}",
        ) {
            let literals: Vec<Vec<u8>> = literals.into_iter().map(String::into_bytes).collect();
            check(&literals, text.as_bytes());
        }
    }
}
