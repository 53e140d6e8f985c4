//! The log on a broker: messages are the broker's, and each process keeps a copy of them in its data folder.
//!
//! A message holds a block of records. It is acknowledged when the broker has confirmed it and the copy has it, so that
//! whoever was answered finds what he sent. The copy has the index of the embedded log, so everything is found as there;
//! it is not synced, since what is lost of it is read again. The number of a record is made of the offset of its message
//! and its place in it: it is the same in every copy.
//!
//! A message that was sent again, because nobody knows whether it arrived, has the number of the first try, and the copy
//! takes one of them. A process begins with a message that says so; from there on nothing counts that a process before it
//! had on its way. See `docs/adr/0021-the-log-on-a-broker.md`.

pub mod message;
pub mod rabbitmq;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use model::event::take_varint;
use model::id::EventId;
use model::place::{PartitionId, Position, Sequence};
use model::time::Timestamp;

use self::message::Message;
use super::embedded::files::Files;
use super::embedded::{EmbeddedLog, Settings, locked};
use super::{Block, Damage, Log, LogError, Page, ReadBlock, Record, RecordKind, Search};

/// How many bits of a number are the place in the message.
const PLACE_BITS: u32 = 20;
/// Records are put into one message until it has this many bytes: twice what is appended at once, so that what is appended
/// together lies together unless one sender sent more.
const MESSAGE_BYTES: usize = 16 << 20;
/// And no more than this many records: the places of a message are enough for them and for the marks at the front of a
/// segment of the copy.
const MESSAGE_RECORDS: u32 = 1 << 19;
/// The number of the message with which a process begins.
const BEGIN: u64 = 1;
/// The mark that says whose messages count: its generation and its sender. It is in every copy.
const OWNER_MARK: &str = "log/owner";
/// How long to wait between two tries to reach the broker, at first and at most.
const SEND_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long a confirmed message may take to be in the copy before it is sent again.
const LAND_PATIENCE: Duration = Duration::from_secs(10);
/// How long an append is tried on after the log was closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// How long the first message may take to come.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);
/// How often a start that waits says so.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often all marks are sent again: the broker forgets old messages, and a new copy must find the marks.
const MARKS_EVERY: Duration = Duration::from_secs(3600);

/// A row of messages that a broker keeps, each under a number, its offset; offsets rise by one.
pub trait Stream: Send + Sync + 'static {
    /// Where it is, without secrets.
    fn place(&self) -> String;

    /// Adds a message and returns when the broker has confirmed it.
    ///
    /// # Errors
    ///
    /// What the broker or the connection says; the message may be there all the same.
    fn publish(&self, message: &[u8]) -> io::Result<()>;

    /// Makes the row of messages if it is not there.
    ///
    /// # Errors
    ///
    /// What the broker or the connection says.
    fn make(&self) -> io::Result<()>;

    /// Returns the offset of the last message; `None` when there is none.
    ///
    /// # Errors
    ///
    /// What the broker or the connection says; [`io::ErrorKind::NotFound`] when there is no such row.
    fn last(&self) -> io::Result<Option<u64>>;

    /// Waits for messages from the offset `from` on, at most `patience`; they may be none. Where older ones are not kept any
    /// more, it begins with the first that is.
    ///
    /// # Errors
    ///
    /// What the broker or the connection says.
    fn read(&self, from: u64, patience: Duration) -> io::Result<Vec<(u64, Vec<u8>)>>;
}

/// The log on a broker.
pub struct BrokerLog {
    shared: Arc<Shared>,
    sending: Mutex<Sending>,
    reader: Option<thread::JoinHandle<()>>,
}

/// What appends and the reader share.
struct Shared {
    copy: EmbeddedLog,
    stream: Box<dyn Stream>,
    tag: u64,
    producer: u64,
    /// The messages that are waited for, by number, and where they landed.
    awaited: Mutex<BTreeMap<u64, Option<Sequence>>>,
    landed: Condvar,
    /// Our generation once we have begun; 0 before.
    generation: AtomicU64,
    /// Whether another process has begun after us.
    is_fenced: AtomicBool,
    closed_at: Mutex<Option<Instant>>,
    damage: Mutex<Damage>,
    is_over: AtomicBool,
    /// The offset behind the last message that was read.
    read_to: AtomicU64,
}

#[derive(Default)]
struct Sending {
    /// The number of the last message; 0 before we have begun.
    number: u64,
    marks_at: Timestamp,
}

/// What is known of a log before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it may be another's, and is made when there is none.
    Nothing,
    /// It has this tag, and everything before the position was read once.
    Tag(u64, Position),
}

/// The number of the first record of the message at an offset.
const fn first_at(offset: u64) -> Sequence {
    Sequence(offset << PLACE_BITS)
}

/// The offset of the first message that is not in a copy that ends at `end`.
const fn offset_behind(end: Position) -> u64 {
    if end.0 == 0 { 0 } else { ((end.0 - 1) >> PLACE_BITS) + 1 }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness two processes may look like one; then of two messages with the same number one is left out.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

impl BrokerLog {
    /// Opens the log and brings the copy in `files` up to date. While the broker does not answer, it waits. Others may go on
    /// appending; the first append, or [`Self::begin`], takes the log over.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] when it is not the log that is known, has lost its end, is no log of ours, or the copy cannot be
    /// written. Nothing was changed then but the copy.
    pub fn open(
        stream: Box<dyn Stream>,
        files: Arc<dyn Files>,
        settings: Settings,
        known: Known,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let found = patiently(stream.as_ref(), || find(stream.as_ref(), known, now))?;
        let copy = open_copy(files, Settings { is_copy: true, ..settings }, found.tag)?;
        let copied = offset_behind(copy.end(PartitionId(0)));
        if !patiently(stream.as_ref(), || reaches(stream.as_ref(), copied).map(Ok))? {
            return Err(lost_its_end(stream.as_ref(), found.last, copied));
        }
        let shared = Arc::new(Shared {
            copy,
            stream,
            tag: found.tag,
            producer: random(),
            awaited: Mutex::default(),
            landed: Condvar::new(),
            generation: AtomicU64::new(0),
            is_fenced: AtomicBool::new(false),
            closed_at: Mutex::default(),
            damage: Mutex::default(),
            is_over: AtomicBool::new(false),
            read_to: AtomicU64::new(0),
        });
        let reading = shared.clone();
        let reader = thread::Builder::new().name("copy".into()).spawn(move || reader::run(&reading));
        let reader =
            reader.map_err(|source| LogError::Io { action: "start the reader of", file: "events".into(), source })?;
        let sending = Mutex::new(Sending { number: 0, marks_at: now });
        let log = Self { shared, sending, reader: Some(reader) };
        log.catch_up(found.last);
        Ok(log)
    }

    /// Waits until everything up to the message at `last` is in the copy.
    fn catch_up(&self, last: Option<u64>) {
        let Some(last) = last else { return };
        let (began, mut told) = (Instant::now(), Instant::now());
        while self.shared.read_to.load(Ordering::Acquire) <= last {
            thread::sleep(Duration::from_millis(5));
            if TELL_EVERY <= told.elapsed() {
                told = Instant::now();
                let (place, waited_s) = (self.shared.stream.place(), began.elapsed().as_secs());
                let missing = (last + 1).saturating_sub(self.shared.read_to.load(Ordering::Acquire));
                tracing::info!(%place, waited_s, missing, "Still reads what the broker has");
            }
        }
    }

    /// Takes the log over: from here on nothing counts that a process before us had on its way, and everything that counts is
    /// in the copy.
    fn take_over(&self, sending: &mut Sending, now: Timestamp) -> Result<(), LogError> {
        let generation = reader::generation_of(&self.shared.copy) + 1;
        self.shared.generation.store(generation, Ordering::Release);
        let mut block = Block::default();
        block.push_mark(OWNER_MARK, &reader::owner_mark(generation, self.shared.producer));
        sending.number = BEGIN;
        let sent = self.send(self.message(BEGIN, now, block));
        if sent.is_err() {
            *sending = Sending { number: 0, ..*sending };
        }
        sent.map(|_| ())
    }

    fn message(&self, number: u64, appended: Timestamp, block: Block) -> Message {
        let (tag, producer) = (self.shared.tag, self.shared.producer);
        let generation = self.shared.generation.load(Ordering::Acquire);
        Message { tag, generation, producer, number, appended, count: block.count, records: block.bytes }
    }

    /// Sends one message and waits until it is confirmed and in the copy, for as long as it takes: who gave up would not know
    /// whether it arrived.
    fn send(&self, message: Message) -> Result<Sequence, LogError> {
        let shared = &self.shared;
        let failed = |source| LogError::Io { action: "append to", file: shared.stream.place(), source };
        let bytes = message.encode().map_err(failed)?;
        locked(&shared.awaited).insert(message.number, None);
        let (mut pause, mut told) = (SEND_PAUSE.0, None::<Instant>);
        loop {
            let error = match shared.stream.publish(&bytes) {
                Ok(()) => {
                    if let Some(landed) = shared.wait_landed(message.number, Instant::now() + LAND_PATIENCE) {
                        return Ok(landed);
                    }
                    io::Error::new(io::ErrorKind::TimedOut, "the broker has the message, and does not hand it back")
                }
                Err(error) => error,
            };
            // It may have arrived; the same number again does no harm.
            if let Some(landed) = shared.wait_landed(message.number, Instant::now() + pause) {
                return Ok(landed);
            }
            if shared.is_fenced.load(Ordering::Acquire) {
                return Err(failed(io::Error::other("another process has taken the log over")));
            }
            if locked(&shared.closed_at).is_some_and(|it| CLOSE_PATIENCE <= it.elapsed()) {
                return Err(failed(error));
            }
            if told.is_none_or(|it| TELL_EVERY <= it.elapsed()) {
                told = Some(Instant::now());
                tracing::warn!(place = %shared.stream.place(), reason = %error, "The log cannot be written on the broker; it is tried again");
            }
            pause = (pause * 2).min(SEND_PAUSE.1);
        }
    }

    /// The marks that the broker may forget with its oldest messages, but for those that are in the block already.
    fn old_marks(&self, block: &Block) -> Vec<(String, Vec<u8>)> {
        let read = ReadBlock::new(Sequence(0), block.count, Arc::from(block.bytes.as_slice()));
        let marks = read.records(Position::START).filter(|it| it.kind == RecordKind::Mark);
        let keys: BTreeSet<Vec<u8>> =
            marks.map(|it| it.bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()).collect();
        let mut marks = self.marks("");
        marks.retain(|(key, _)| !keys.contains(key.as_bytes()));
        marks
    }
}

/// What was found on the broker.
struct Found {
    tag: u64,
    last: Option<u64>,
}

/// Looks at what the broker has; `Ok(Err)` is what no patience mends.
fn find(stream: &dyn Stream, known: Known, now: Timestamp) -> io::Result<Result<Found, LogError>> {
    if known == Known::Nothing {
        stream.make()?;
    }
    let looked = stream.last();
    let invalid = |text: &str| {
        let source = io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        Ok(Err(LogError::Io { action: "use", file: stream.place(), source }))
    };
    if looked.as_ref().is_err_and(|it| it.kind() == io::ErrorKind::NotFound) {
        return invalid(
            "it is not there, and the store has read a log: set `log.url` back, or begin with a new data folder and store",
        );
    }
    let mut last = looked?;
    if last.is_none() && known == Known::Nothing {
        let begin = Message {
            tag: random(),
            generation: 0,
            producer: random(),
            number: 0,
            appended: now,
            count: 0,
            records: Vec::new(),
        };
        stream.publish(&begin.encode()?)?;
        last = stream.last()?;
    }
    let first = match stream.read(0, FIRST_PATIENCE)?.into_iter().next() {
        Some((_, first)) => Message::decode(&first),
        None if last.is_none() => return Ok(Err(lost_its_end(stream, last, 0))),
        None => return Err(io::Error::new(io::ErrorKind::TimedOut, "the broker hands nothing out")),
    };
    let Some(first) = first else { return invalid("its messages are of somebody else") };
    if let Known::Tag(tag, position) = known {
        if first.tag != tag {
            return invalid(
                "it is not the log that the store has read: set `log.url` back, or begin with a new data folder and store",
            );
        }
        let read = offset_behind(position);
        if !reaches(stream, read)? {
            return Ok(Err(lost_its_end(stream, last, read)));
        }
    }
    Ok(Ok(Found { tag: first.tag, last }))
}

/// Whether the broker has as many messages, or has had them and removed the oldest.
fn reaches(stream: &dyn Stream, messages: u64) -> io::Result<bool> {
    let Some(last) = messages.checked_sub(1) else { return Ok(true) };
    for _ in 0..3 {
        if !stream.read(last, FIRST_PATIENCE)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The broker has less than was read from it: it was restored, or made again, or lost its power.
fn lost_its_end(stream: &dyn Stream, last: Option<u64>, read: u64) -> LogError {
    let text = format!(
        "it has lost its end: {} messages were read from it, and it has {}. What was acknowledged in between is gone, and its \
         numbers would be given again: choose another `prefix` in `log.url`, and begin with a new data folder and store",
        read,
        last.map_or(0, |it| it + 1)
    );
    LogError::Io { action: "use", file: stream.place(), source: io::Error::new(io::ErrorKind::InvalidData, text) }
}

/// Tries until the broker answers.
fn patiently<T>(stream: &dyn Stream, ask: impl Fn() -> io::Result<Result<T, LogError>>) -> Result<T, LogError> {
    let mut told: Option<Instant> = None;
    loop {
        match ask() {
            Ok(found) => return found,
            Err(error) => {
                if told.is_none_or(|it| TELL_EVERY <= it.elapsed()) {
                    told = Some(Instant::now());
                    tracing::warn!(place = %stream.place(), reason = %error, "The broker of the log cannot be used; it is tried again");
                }
                thread::sleep(SEND_PAUSE.0 * 5);
            }
        }
    }
}

impl Shared {
    /// Waits until a message of ours is in the copy; returns the number of its first record and forgets it.
    fn wait_landed(&self, number: u64, until: Instant) -> Option<Sequence> {
        let mut awaited = locked(&self.awaited);
        loop {
            if let Some(landed) = awaited.get(&number).copied().flatten() {
                awaited.remove(&number);
                return Some(landed);
            }
            if self.is_fenced.load(Ordering::Acquire) {
                return None;
            }
            let left = until.checked_duration_since(Instant::now())?;
            awaited = self.landed.wait_timeout(awaited, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Says where a message of ours landed, if somebody waits for it.
    fn land(&self, message: &Message, first: Sequence) {
        let ours = self.generation.load(Ordering::Acquire);
        if message.producer == self.producer {
            if let Some(place) = locked(&self.awaited).get_mut(&message.number) {
                *place = Some(first);
                self.landed.notify_all();
            }
        } else if 0 < ours && ours <= message.generation {
            self.is_fenced.store(true, Ordering::Release);
            self.landed.notify_all();
            tracing::error!(place = %self.stream.place(), "Another process has taken the log over; nothing is accepted here any more");
        }
    }
}

/// Opens the copy; one of another log, or one that is damaged, is begun anew.
fn open_copy(files: Arc<dyn Files>, settings: Settings, tag: u64) -> Result<EmbeddedLog, LogError> {
    let copy = EmbeddedLog::open_tagged(files.clone(), settings, Position::START, Some(tag))?;
    if copy.tag() == tag && copy.damage().is_healthy() {
        return Ok(copy);
    }
    drop(copy);
    tracing::warn!(
        "The copy of the log in the data folder is damaged or of another log; it is read from the broker again"
    );
    let failed = |source| LogError::Io { action: "empty", file: "events".into(), source };
    for name in files.list().map_err(failed)? {
        files.remove(&name).map_err(failed)?;
    }
    EmbeddedLog::open_tagged(files, settings, Position::START, Some(tag))
}

/// Splits records into parts for a message each.
fn parts_of(block: &Block) -> Vec<Block> {
    if block.len() < MESSAGE_BYTES && block.count < MESSAGE_RECORDS {
        return vec![block.clone()];
    }
    let (mut parts, mut part, mut rest) = (Vec::new(), Block::default(), block.bytes.as_slice());
    while let Some((_, after)) = rest.split_first()
        && let Some((length, after)) = take_varint(after)
    {
        let end = rest.len() - after.len() + usize::try_from(length).unwrap_or(usize::MAX).min(after.len());
        part.bytes.extend_from_slice(&rest[..end]);
        part.count += 1;
        rest = &rest[end..];
        if MESSAGE_BYTES <= part.bytes.len() || MESSAGE_RECORDS <= part.count {
            parts.push(std::mem::take(&mut part));
        }
    }
    parts.extend((!part.is_empty()).then_some(part));
    parts
}

impl Log for BrokerLog {
    fn partitions(&self) -> u32 {
        1
    }

    fn tag(&self) -> u64 {
        self.shared.tag
    }

    fn append(&self, partition: PartitionId, block: &mut Block, now: Timestamp) -> Result<Sequence, LogError> {
        if block.is_empty() {
            return Ok(Sequence(self.end(partition).0));
        }
        let mut sending = locked(&self.sending);
        if self.shared.is_fenced.load(Ordering::Acquire) {
            let source = io::Error::other("another process has taken the log over");
            return Err(LogError::Io { action: "append to", file: self.shared.stream.place(), source });
        }
        if sending.number == 0 {
            self.take_over(&mut sending, now)?;
        }
        let has_old_marks = MARKS_EVERY <= now.since(sending.marks_at);
        if has_old_marks {
            self.old_marks(block).iter().for_each(|(key, value)| block.push_mark(key, value));
        }
        let mut first = None;
        for part in parts_of(block) {
            sending.number += 1;
            let landed = self.send(self.message(sending.number, now, part))?;
            first.get_or_insert(landed);
        }
        if has_old_marks {
            sending.marks_at = now;
        }
        Ok(first.unwrap_or_default())
    }

    fn begin(&self, now: Timestamp) -> Result<(), LogError> {
        let mut sending = locked(&self.sending);
        if sending.number == 0 { self.take_over(&mut sending, now) } else { Ok(()) }
    }

    fn is_taken_over(&self) -> bool {
        self.shared.is_fenced.load(Ordering::Acquire)
    }

    fn close(&self) {
        locked(&self.shared.closed_at).get_or_insert_with(Instant::now);
    }

    fn end(&self, partition: PartitionId) -> Position {
        self.shared.copy.end(partition)
    }

    fn start(&self, partition: PartitionId) -> Position {
        self.shared.copy.start(partition)
    }

    fn back(&self, partition: PartitionId, from: Position, records: u64) -> Result<Position, LogError> {
        self.shared.copy.back(partition, from, records)
    }

    fn read(&self, partition: PartitionId, from: Position) -> Result<ReadBlock, LogError> {
        self.shared.copy.read(partition, from)
    }

    fn wait(&self, partition: PartitionId, position: Position, timeout: Duration) -> bool {
        self.shared.copy.wait(partition, position, timeout)
    }

    fn mark(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.copy.mark(key)
    }

    fn marks(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.shared.copy.marks(prefix)
    }

    fn find(&self, id: EventId) -> Result<Option<(Sequence, Vec<u8>)>, LogError> {
        self.shared.copy.find(id)
    }

    fn search(&self, search: &Search) -> Result<Page, LogError> {
        self.shared.copy.search(search)
    }

    fn repeatable_ids(&self, max: usize, see: &mut dyn FnMut(EventId)) -> Result<(), LogError> {
        self.shared.copy.repeatable_ids(max, see)
    }

    fn specials(&self, see: &mut dyn FnMut(Record<'_>) -> bool) -> Result<(), LogError> {
        self.shared.copy.specials(see)
    }

    fn release(&self, partition: PartitionId, position: Position) {
        self.shared.copy.release(partition, position);
    }

    fn damage(&self) -> Damage {
        locked(&self.shared.damage).clone()
    }

    fn size_bytes(&self) -> u64 {
        self.shared.copy.size_bytes()
    }
}

impl Drop for BrokerLog {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            // It has nothing to say that is not in the damage.
            let _ = reader.join();
        }
    }
}
