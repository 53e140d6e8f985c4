//! The ids that may be repeated and have been seen: a repeated one is a duplicate.
//!
//! Bounded: the newest [`IDS_MAX`] ids, in generations that are dropped whole. What is older than that is taken again.

use std::collections::VecDeque;

use hashbrown::HashSet;
use model::id::EventId;

/// How many ids a generation holds: just below what makes its table grow.
const GENERATION_IDS: usize = 900_000;
/// How many generations are kept.
const GENERATIONS: usize = 5;
/// The horizon: at least this many of the newest ids are known. About 80 MB when full.
pub const IDS_MAX: usize = GENERATION_IDS * (GENERATIONS - 1);

/// The ids seen, newest generation first.
#[derive(Debug, Default)]
pub struct Seen {
    generations: VecDeque<HashSet<u128>>,
}

impl Seen {
    /// Whether an id has been seen.
    #[must_use]
    pub fn has(&self, id: EventId) -> bool {
        self.generations.iter().any(|it| it.contains(&id.0))
    }

    /// Remembers an id.
    pub fn insert(&mut self, id: EventId) {
        if self.generations.front().is_none_or(|it| GENERATION_IDS <= it.len()) {
            self.generations.push_front(HashSet::new());
            self.generations.truncate(GENERATIONS);
        }
        if let Some(newest) = self.generations.front_mut() {
            newest.insert(id.0);
        }
    }

    /// How many ids are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.generations.iter().map(HashSet::len).sum()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_known_and_the_number_is_bounded() {
        let mut seen = Seen::default();
        let total = IDS_MAX + 2 * GENERATION_IDS;
        for id in 0..total {
            seen.insert(EventId(id as u128));
        }
        assert!(seen.has(EventId(total as u128 - 1)) && seen.has(EventId((total - IDS_MAX) as u128)));
        assert!(!seen.has(EventId(0)) && seen.len() <= GENERATIONS * GENERATION_IDS);
    }
}
