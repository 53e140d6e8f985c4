//! What a door hands over, and what it is told: the border between sources and the log.

use std::sync::Arc;

use crate::id::EventId;
use crate::time::Timestamp;

/// A record that could not be read, and nobody could be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The input through which it came.
    pub input: String,
    /// Where it stood: a file with an offset, a topic with an offset.
    pub place: String,
    /// The name of the format it was read as; empty when none was chosen.
    pub format: String,
    /// Why it could not be read.
    pub reason: String,
    /// When we got it.
    pub received: Timestamp,
    /// The record as it was received; its beginning when it is not kept whole.
    pub record: Vec<u8>,
    /// How long it was, in bytes; `None` when its end was never seen.
    pub bytes: Option<u64>,
    /// Whether it is demo or self-test data.
    pub synthetic: bool,
}

impl Quarantined {
    /// Whether all of it is kept, so that it can be read again.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.bytes == Some(self.record.len() as u64)
    }
}

/// Encoded events, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// The events.
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<u32>,
}

impl Events {
    /// Says that one more event ends where `bytes` end.
    pub fn close(&mut self) {
        self.ends.push(self.bytes.len() as u32);
    }

    /// Walks over the events.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start as usize..*end as usize])
    }

    /// How many events there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// A request that names itself, so that it can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The `Idempotency-Key`.
    pub key: String,
    /// A digest of the body.
    pub body: u128,
}

impl Once {
    /// What the ids of its events are made of. With the body in it, a key that is used again for other events long after it
    /// was forgotten gives them ids of their own.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{:032x}", self.key, self.body)
    }
}

/// What a door hands over at once.
#[derive(Debug, Default)]
pub struct Submission {
    /// The input: whose ledger, whose ids.
    pub input: Arc<str>,
    /// The events, normalised.
    pub events: Events,
    /// Records that could not be read.
    pub quarantined: Vec<Quarantined>,
    /// How many records were refused; the sender is told by the door.
    pub rejected: u64,
    /// What is to be remembered with the same write: where a file was read to.
    pub marks: Vec<(String, Vec<u8>)>,
    /// Numbers of quarantined records that are resolved by this.
    pub resolved: Vec<u64>,
    /// How the request names itself.
    pub once: Option<Once>,
}

/// Of how many stored events a receipt gives the ids; whoever sends more at once rarely reads them.
pub const RECEIPT_IDS_MAX: usize = 1000;

/// What became of a submission, once it is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// How many events were stored.
    pub stored: u64,
    /// Their ids, in order; none when they are more than [`RECEIPT_IDS_MAX`].
    pub ids: Vec<EventId>,
    /// How many were known already.
    pub duplicate: u64,
    /// Whether this is the answer to an earlier request with the same `Idempotency-Key`.
    pub is_repeated: bool,
}

impl Receipt {
    /// Makes the receipt of a submission that is stored; too many `ids` are left out.
    #[must_use]
    pub fn of(ids: Vec<EventId>, stored: u64, duplicate: u64) -> Self {
        let ids = if stored <= RECEIPT_IDS_MAX as u64 { ids } else { Vec::new() };
        Self { stored, ids, duplicate, is_repeated: false }
    }
}

/// Why nothing of a submission was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// Try again later: too much is waiting, or there is no room.
    #[error("too much is waiting to be {0}")]
    Overloaded(&'static str),
    /// There is no room on the disk, or it fails.
    #[error("the log cannot be written")]
    Unwritable,
    /// The `Idempotency-Key` was used with another body.
    #[error("this Idempotency-Key was used with another body")]
    KeyReused,
    /// The process is ending.
    #[error("the server is stopping")]
    Stopping,
}
