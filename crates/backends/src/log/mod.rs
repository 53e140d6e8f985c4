//! The durable log `events`: what was acknowledged is in it, and everything else is rebuilt from it.
//!
//! A log has partitions; a partition is a row of records, numbered from 0 without gaps. A record is an event or one
//! of a few kinds that must be kept in the same order and with the same durability (see [`RecordKind`]).

pub mod broker;
#[cfg(test)]
pub(crate) mod conformance;
pub mod embedded;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::event::{EventView, push_varint, take_varint};
use model::id::EventId;
use model::place::{PartitionId, Position, Sequence};
use model::time::Timestamp;

/// What a record of the log is. The numbers are on disk and are never used again for another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// An encoded [`model::event`].
    Event = 1,
    /// The newest value of a mark: `key NUL value`. See [`Log::mark`].
    Mark = 2,
    /// A record that could not be read, with its source, place and reason.
    Quarantined = 3,
    /// The number of a quarantined record that has been replayed or dropped.
    Resolved = 4,
    /// Time passes though nothing came: the watermark of an input moves.
    Tick = 5,
    /// What the engine consists of from here on: the digest of its rules and settings.
    Engine = 6,
    /// An `Idempotency-Key` with the digest of its body and the answer it got.
    Idempotency = 7,
}

impl RecordKind {
    fn of(number: u8) -> Option<Self> {
        [Self::Event, Self::Mark, Self::Quarantined, Self::Resolved, Self::Tick, Self::Engine, Self::Idempotency]
            .into_iter()
            .find(|it| *it as u8 == number)
    }
}

/// Why the log could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no room. Nothing of the call was kept; it works again once there is room.
    #[error("no space is left for the log")]
    Full(#[source] io::Error),
    /// A file could not be read or written. Nothing of the call was acknowledged; a later call may succeed.
    #[error("the log cannot {action} `{file}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file, without its folder.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder holds a log that this version cannot read.
    #[error("`{file}` is in format {found}, and this version reads up to {known}")]
    Newer {
        /// The file, without its folder.
        file: String,
        /// The format it says it has.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
}

impl LogError {
    /// Whether the same call may succeed later without anybody's help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Io { .. })
    }
}

/// Records on their way into the log, in order.
#[derive(Clone, Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    count: u32,
}

impl Block {
    /// Adds a record.
    pub fn push(&mut self, kind: RecordKind, record: &[u8]) {
        self.bytes.push(kind as u8);
        push_varint(&mut self.bytes, record.len() as u64);
        self.bytes.extend_from_slice(record);
        self.count += 1;
    }

    /// Adds a mark: its newest value wins, and outlives the segments of the log.
    pub fn push_mark(&mut self, key: &str, value: &[u8]) {
        debug_assert!(!key.contains('\0'), "the key ends at the first NUL");
        let mut record = Vec::with_capacity(key.len() + 1 + value.len());
        record.extend_from_slice(key.as_bytes());
        record.push(0);
        record.extend_from_slice(value);
        self.push(RecordKind::Mark, &record);
    }

    /// How many records it holds.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes it takes, unpacked.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

/// Some records in a row, as they were read.
#[derive(Clone, Debug)]
pub struct ReadBlock {
    first: Sequence,
    count: u32,
    bytes: Arc<[u8]>,
}

/// One record of a [`ReadBlock`].
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number in the partition.
    pub sequence: Sequence,
    /// What it is.
    pub kind: RecordKind,
    /// Its content.
    pub bytes: &'a [u8],
}

impl ReadBlock {
    /// Wraps records in the encoding of [`Block`].
    #[must_use]
    pub const fn new(first: Sequence, count: u32, bytes: Arc<[u8]>) -> Self {
        Self { first, count, bytes }
    }

    /// The number of the first record.
    #[must_use]
    pub const fn first(&self) -> Sequence {
        self.first
    }

    /// The position behind the last record.
    #[must_use]
    pub const fn next(&self) -> Position {
        Position(self.first.0 + self.count as u64)
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Walks over the records from `from` on. Records of an unknown kind are passed over.
    pub fn records(&self, from: Position) -> impl Iterator<Item = Record<'_>> {
        let mut rest: &[u8] = &self.bytes;
        let mut sequence = self.first.0;
        std::iter::from_fn(move || {
            loop {
                let (&kind, after) = rest.split_first()?;
                let (length, after) = take_varint(after)?;
                let (bytes, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
                rest = after;
                let this = Sequence(sequence);
                sequence += 1;
                if let Some(kind) = RecordKind::of(kind)
                    && from.0 <= this.0
                {
                    return Some(Record { sequence: this, kind, bytes });
                }
            }
        })
    }

    /// Finds the record with a number.
    #[must_use]
    pub fn record(&self, sequence: Sequence) -> Option<Record<'_>> {
        self.records(Position(sequence.0)).next().filter(|it| it.sequence == sequence)
    }
}

/// What events to look for. Everything that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Events whose client address (canonical text), user, host or source this is.
    pub entity: Option<String>,
    /// Events at this time or later.
    pub from: Option<Timestamp>,
    /// Events before this time.
    pub to: Option<Timestamp>,
    /// Records with smaller numbers only: how a search goes on.
    pub before: Option<Sequence>,
    /// How many to return at most.
    pub limit: usize,
}

impl Search {
    /// Whether an event is looked for.
    #[must_use]
    pub fn holds(&self, event: &EventView<'_>) -> bool {
        self.from.is_none_or(|it| it <= event.time)
            && self.to.is_none_or(|it| event.time < it)
            && self.entity.as_ref().is_none_or(|it| names_of(event).any(|name| name == *it))
    }
}

/// The names under which an event is found: address, user, host, source.
pub fn names_of<'a>(event: &EventView<'a>) -> impl Iterator<Item = std::borrow::Cow<'a, str>> + use<'a> {
    use model::event::TextField::{Host, Source, User};
    let address = event.client_ip.map(|it| it.to_string().into());
    let texts = [User, Host, Source].map(|it| event.text(it));
    address.into_iter().chain(texts.into_iter().flatten().map(Into::into))
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The events, newest in the log first, with their numbers.
    pub events: Vec<(Sequence, Vec<u8>)>,
    /// Where to go on; `None` when there is nothing more. A page may be short, or empty, and still go on: one call
    /// looks at a bounded part of the log.
    pub next: Option<Sequence>,
}

/// What is wrong with a log, or was and has been mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes behind the last whole record: a write that a crash cut. Nothing acknowledged was in them.
    pub torn_bytes: u64,
    /// Places inside the log that cannot be read.
    pub damaged_places: u64,
    /// Numbers of records that are missing.
    pub records_lost: u64,
    /// Each finding in a sentence.
    pub findings: Vec<String>,
}

impl Damage {
    /// Whether everything that was acknowledged can be read.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        self.damaged_places == 0 && self.records_lost == 0
    }
}

/// A durable, partitioned log.
///
/// Every call blocks until it is done.
pub trait Log: Send + Sync + 'static {
    /// How many partitions there are; they are numbered from 0.
    fn partitions(&self) -> u32;

    /// The tag in the ids that are new by construction; random, and the same for the life of the log.
    fn tag(&self) -> u64;

    /// Appends `block` at the end of `partition` and returns the number of its first record.
    ///
    /// Events without the flag `REPEATABLE` get their id here, [`EventId::of_place`]. When this returns `Ok`, all of
    /// it survives the loss of power; on an error nothing of it was kept, or what was kept is not acknowledged and is
    /// kept whole or not at all record by record.
    ///
    /// # Errors
    ///
    /// [`LogError::Full`] and [`LogError::Io`]; both may pass.
    fn append(&self, partition: PartitionId, block: &mut Block, now: Timestamp) -> Result<Sequence, LogError>;

    /// Returns the position behind the last record that is synced.
    fn end(&self, partition: PartitionId) -> Position;

    /// Returns the position of the oldest record that is kept.
    fn start(&self, partition: PartitionId) -> Position;

    /// Returns the position `records` records before `from`, or a little more; less where they are not kept any more.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    fn back(&self, partition: PartitionId, from: Position, records: u64) -> Result<Position, LogError>;

    /// Reads some records from `from` on; empty at the end. Goes on behind what retention removed or damage took.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    fn read(&self, partition: PartitionId, from: Position) -> Result<ReadBlock, LogError>;

    /// Waits until there is something behind `position`, at most `timeout`; returns whether there is.
    fn wait(&self, partition: PartitionId, position: Position, timeout: Duration) -> bool;

    /// Returns the newest value of a mark.
    fn mark(&self, key: &str) -> Option<Vec<u8>>;

    /// Returns all marks whose keys begin with `prefix`, in order.
    fn marks(&self, prefix: &str) -> Vec<(String, Vec<u8>)>;

    /// Finds an event by its id.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    fn find(&self, id: EventId) -> Result<Option<(Sequence, Vec<u8>)>, LogError>;

    /// Searches the events, newest in the log first.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    fn search(&self, search: &Search) -> Result<Page, LogError>;

    /// Calls `see` for the ids of the newest `max` events that may be repeated, oldest first.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    fn repeatable_ids(&self, max: usize, see: &mut dyn FnMut(EventId)) -> Result<(), LogError>;

    /// Calls `see` for the records that are neither events nor marks nor ticks, newest first, until it returns false.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    fn specials(&self, see: &mut dyn FnMut(Record<'_>) -> bool) -> Result<(), LogError>;

    /// Says that everything before `position` is no longer needed by detection and may be removed by age or size.
    fn release(&self, partition: PartitionId, position: Position);

    /// Takes the log over from a process before, where several may work on one: what that one has on its way counts no
    /// more, and everything that counts can be read. An append does so, too.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    fn begin(&self, _now: Timestamp) -> Result<(), LogError> {
        Ok(())
    }

    /// Whether another process has taken the log over; nothing can be appended any more.
    fn is_taken_over(&self) -> bool {
        false
    }

    /// Says that the process ends: an append that waits for somebody is given up soon.
    fn close(&self) {}

    /// What was found damaged since the log was opened.
    fn damage(&self) -> Damage;

    /// How many bytes the log takes.
    fn size_bytes(&self) -> u64;
}
