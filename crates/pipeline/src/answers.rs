//! The answers to requests that named themselves, so that a repeated one gets the first answer again.
//!
//! They are records of the log beside the events that they answer for, and read from there at the start.

use std::collections::{HashMap, VecDeque};

use backends::log::{Log, LogError, RecordKind};
use model::event::{push_varint, take_varint};
use model::id::{EventId, digest128};
use model::intake::{Once, Receipt};

/// How many answers are remembered.
const ANSWERS_MAX: usize = 100_000;
/// How much memory their ids may take, in bytes.
const BYTES_MAX: usize = 64 << 20;
/// What an answer takes beside its ids, about.
const ANSWER_BYTES: usize = 128;

/// The answers, newest last.
#[derive(Default)]
pub(crate) struct Answers {
    known: HashMap<u128, (u128, Receipt)>,
    order: VecDeque<u128>,
    bytes: usize,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing.
    New,
    /// It was answered so.
    Answered(Receipt),
    /// Its key was used for another body.
    Reused,
}

impl Answers {
    /// Reads the newest ones of a log.
    pub(crate) fn read(log: &dyn Log) -> Result<Self, LogError> {
        let (mut newest_first, mut bytes) = (Vec::new(), 0);
        log.specials(&mut |record| {
            if record.kind == RecordKind::Idempotency {
                bytes += record.bytes.len().min(ANSWER_BYTES + 16 * model::intake::RECEIPT_IDS_MAX);
                newest_first.extend(Self::decode(record.bytes));
            }
            newest_first.len() < ANSWERS_MAX && bytes < BYTES_MAX
        })?;
        let mut answers = Self::default();
        for (name, body, receipt) in newest_first.into_iter().rev() {
            answers.insert(name, body, receipt);
        }
        Ok(answers)
    }

    /// What is known of a request.
    pub(crate) fn get(&self, input: &str, once: &Once) -> Asked {
        match self.known.get(&name_of(input, &once.key)) {
            None => Asked::New,
            Some((body, receipt)) if *body == once.body => {
                Asked::Answered(Receipt { is_repeated: true, ..receipt.clone() })
            }
            Some(_) => Asked::Reused,
        }
    }

    /// Remembers an answer; the oldest make room.
    pub(crate) fn put(&mut self, input: &str, once: &Once, receipt: &Receipt) {
        self.insert(name_of(input, &once.key), once.body, receipt.clone());
    }

    fn insert(&mut self, name: u128, body: u128, receipt: Receipt) {
        self.bytes += size_of(&receipt);
        match self.known.insert(name, (body, receipt)) {
            Some((_, former)) => self.bytes -= size_of(&former),
            None => self.order.push_back(name),
        }
        while ANSWERS_MAX < self.order.len() || BYTES_MAX < self.bytes {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some((_, receipt)) = self.known.remove(&oldest) {
                self.bytes -= size_of(&receipt);
            }
        }
    }

    /// Name, body, number of duplicates, ids. In place of ids that a receipt leaves out: how many events were stored, which
    /// takes less room than one id.
    pub(crate) fn encode(input: &str, once: &Once, receipt: &Receipt) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&name_of(input, &once.key).to_le_bytes());
        out.extend_from_slice(&once.body.to_le_bytes());
        push_varint(&mut out, receipt.duplicate);
        if receipt.ids.is_empty() && 0 < receipt.stored {
            push_varint(&mut out, receipt.stored);
        }
        for id in &receipt.ids {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<(u128, u128, Receipt)> {
        let (name, rest) = bytes.split_first_chunk::<16>()?;
        let (body, rest) = rest.split_first_chunk::<16>()?;
        let (duplicate, rest) = take_varint(rest)?;
        let (ids, remainder) = rest.as_chunks::<16>();
        let ids: Vec<_> = ids.iter().map(|it| EventId(u128::from_le_bytes(*it))).collect();
        let stored = if remainder.is_empty() { ids.len() as u64 } else { take_varint(remainder)?.0 };
        Some((u128::from_le_bytes(*name), u128::from_le_bytes(*body), Receipt::of(ids, stored, duplicate)))
    }
}

fn name_of(input: &str, key: &str) -> u128 {
    digest128(&[input.as_bytes(), key.as_bytes()])
}

fn size_of(receipt: &Receipt) -> usize {
    ANSWER_BYTES + 16 * receipt.ids.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(key: &str) -> Once {
        Once { key: key.to_owned(), body: 7 }
    }

    #[track_caller]
    fn check(receipt: &Receipt) {
        let bytes = Answers::encode("door", &once("k"), receipt);
        assert_eq!(Answers::decode(&bytes), Some((name_of("door", "k"), 7, receipt.clone())));
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        check(&Receipt::of(Vec::new(), 0, 3));
        check(&Receipt::of(vec![EventId(1), EventId(u128::MAX)], 2, 0));
        check(&Receipt::of(vec![EventId(9); 1000], 1000, 1));
        check(&Receipt::of(vec![EventId(9); 1001], 100_000, 1));
    }

    #[test]
    fn another_body_under_a_key_is_told_from_a_repetition() {
        let mut answers = Answers::default();
        let receipt = Receipt::of(vec![EventId(1)], 1, 0);
        answers.put("door", &once("k"), &receipt);
        assert_eq!(answers.get("door", &once("k")), Asked::Answered(Receipt { is_repeated: true, ..receipt }));
        assert_eq!(answers.get("door", &Once { body: 8, ..once("k") }), Asked::Reused);
        assert_eq!((answers.get("door", &once("l")), answers.get("gate", &once("k"))), (Asked::New, Asked::New));
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_in_bytes() {
        let mut answers = Answers::default();
        for number in 0..10_000 {
            answers.put("door", &once(&number.to_string()), &Receipt::of(vec![EventId(1); 1000], 1000, 0));
        }
        assert!(answers.bytes <= BYTES_MAX && answers.known.len() == answers.order.len());
        for number in 0..(2 * ANSWERS_MAX as u128) {
            answers.insert(number, 0, Receipt::default());
        }
        assert_eq!((answers.known.len(), answers.bytes), (ANSWERS_MAX, ANSWERS_MAX * ANSWER_BYTES));
    }
}
