//! The ledger: what became of every record that came in, by input. `received = stored + duplicate + rejected +
//! quarantined`, in every reading.
//!
//! It lies in the log, as a mark for each input, written in the same frame as what it counts: after a crash it says
//! what the log holds. What was only rejected or duplicate is written with the next frame, within a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::event::{push_varint, take_varint};

use crate::pending::Pending;

/// The key of an input's mark.
pub const MARK_PREFIX: &str = "ledger/";
/// The key of the mark that counts refused requests.
pub const MARK_REFUSED: &str = "refused";

/// What became of the records of one input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the log.
    pub stored: u64,
    /// Known already.
    pub duplicate: u64,
    /// Refused, and the sender was told.
    pub rejected: u64,
    /// Unreadable, and nobody could be told; kept and replayable.
    pub quarantined: u64,
}

impl Counts {
    /// Everything that came in.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.stored + self.duplicate + self.rejected + self.quarantined
    }

    /// Adds what `other` counts.
    pub const fn add(&mut self, other: &Self) {
        self.stored += other.stored;
        self.duplicate += other.duplicate;
        self.rejected += other.rejected;
        self.quarantined += other.quarantined;
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        [self.stored, self.duplicate, self.rejected, self.quarantined]
            .into_iter()
            .for_each(|it| push_varint(&mut out, it));
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (stored, rest) = take_varint(bytes)?;
        let (duplicate, rest) = take_varint(rest)?;
        let (rejected, rest) = take_varint(rest)?;
        let (quarantined, _) = take_varint(rest)?;
        Some(Self { stored, duplicate, rejected, quarantined })
    }
}

/// The state of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// By input.
    pub inputs: BTreeMap<String, Counts>,
    /// Requests refused before records could be told apart.
    pub refused_requests: u64,
    /// Events that are stored and not yet through detection, by input.
    pub pending: BTreeMap<String, Pending>,
}

impl Book {
    /// The sum over all inputs.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.inputs.values().for_each(|it| total.add(it));
        total
    }

    /// How many events are stored and not yet through detection.
    #[must_use]
    pub fn lag_events(&self) -> u64 {
        self.pending.values().map(Pending::events).sum()
    }

    /// Reads the book from the marks of a log.
    #[must_use]
    pub fn of_marks(marks: &[(String, Vec<u8>)], refused: Option<&[u8]>) -> Self {
        let inputs = marks
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(MARK_PREFIX)?.to_owned(), Counts::decode(value)?)));
        let refused_requests = refused.and_then(take_varint).map_or(0, |it| it.0);
        Self { inputs: inputs.collect(), refused_requests, pending: BTreeMap::new() }
    }

    /// The mark of an input.
    #[must_use]
    pub fn mark_of(&self, input: &str) -> (String, Vec<u8>) {
        (format!("{MARK_PREFIX}{input}"), self.inputs.get(input).copied().unwrap_or_default().encode())
    }

    /// The mark of the refused requests.
    #[must_use]
    pub fn refused_mark(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_varint(&mut out, self.refused_requests);
        out
    }
}

/// The book, shared.
#[derive(Debug, Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

impl Ledger {
    /// Begins with a book.
    #[must_use]
    pub const fn new(book: Book) -> Self {
        Self { book: Mutex::new(book) }
    }

    /// Looks into the book, or writes: every change under the lock leaves it balanced.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_is_read_back_from_its_marks() {
        let mut book = Book { refused_requests: 300, ..Book::default() };
        book.inputs.insert("a".into(), Counts { stored: 1, duplicate: 200, rejected: 3, quarantined: 4 });
        book.inputs.insert("b/c".into(), Counts::default());
        let marks: Vec<_> = ["a", "b/c"].map(|it| book.mark_of(it)).into();
        assert_eq!(Book::of_marks(&marks, Some(&book.refused_mark())), book);
        assert_eq!((book.total().received(), book.inputs["a"].received()), (208, 208));
    }
}
