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

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
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
use super::{Block, Damage, Log, LogError, Page, ReadBlock, Record, Search};

/// How many bits of a number are the place in the message.
const PLACE_BITS: u32 = 20;
/// Records are put into one message until it has this many bytes. The shortest record of which there may be many takes ten,
/// so the places of a message are enough for them and for the marks at the front of a segment of the copy.
const MESSAGE_BYTES: usize = 8 << 20;
/// The number of the message with which a process begins.
const BEGIN: u64 = 1;
/// The mark that says whose messages count, in every copy.
const OWNER_MARK: &str = "log/owner";
/// How long an append tries to reach the broker before it is given up.
const SEND_PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits between two tries.
const SEND_PAUSE: Duration = Duration::from_millis(100);
/// How long a confirmed message may take to be in the copy.
const LAND_PATIENCE: Duration = Duration::from_secs(30);
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
    /// Whether another process has begun after us.
    is_fenced: AtomicBool,
    damage: Mutex<Damage>,
    is_over: AtomicBool,
}

struct Sending {
    number: u64,
    marks_at: Timestamp,
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
    /// Opens the log, or begins one, and brings the copy in `files` up to date. While the broker does not answer, it waits.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] when the stream holds something that is no log of ours, or the copy cannot be written.
    pub fn open(
        stream: Box<dyn Stream>,
        files: Arc<dyn Files>,
        settings: Settings,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let producer = random();
        let tag = tag_of(stream.as_ref(), producer, now)?;
        let copy = open_copy(files, Settings { is_copy: true, ..settings }, tag)?;
        let shared = Arc::new(Shared {
            copy,
            stream,
            tag,
            producer,
            awaited: Mutex::default(),
            landed: Condvar::new(),
            is_fenced: AtomicBool::new(false),
            damage: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let reading = shared.clone();
        let reader = thread::Builder::new().name("copy".into()).spawn(move || reader::run(&reading));
        let reader =
            reader.map_err(|source| LogError::Io { action: "start the reader of", file: "events".into(), source })?;
        let log = Self { shared, sending: Mutex::new(Sending { number: BEGIN, marks_at: now }), reader: Some(reader) };
        log.catch_up(now);
        Ok(log)
    }

    /// Says that we begin, and waits until that has landed: everything before it is in the copy then.
    fn catch_up(&self, now: Timestamp) {
        let mut block = Block::default();
        block.push_mark(OWNER_MARK, &self.shared.producer.to_le_bytes());
        let begin = self.message(BEGIN, now, block);
        let began = Instant::now();
        locked(&self.shared.awaited).insert(BEGIN, None);
        let mut told = began;
        let mut is_sent = false;
        loop {
            if !is_sent {
                let sent = begin.encode().and_then(|it| self.shared.stream.publish(&it));
                is_sent = sent.is_ok();
            }
            if self.shared.wait_landed(BEGIN, Instant::now() + SEND_PAUSE).is_some() {
                return;
            }
            if TELL_EVERY <= told.elapsed() {
                told = Instant::now();
                let place = self.shared.stream.place();
                let waited_s = began.elapsed().as_secs();
                tracing::info!(%place, waited_s, end = self.end(PartitionId(0)).0, "Still reads what the broker has");
            }
        }
    }

    fn message(&self, number: u64, appended: Timestamp, block: Block) -> Message {
        let (tag, producer) = (self.shared.tag, self.shared.producer);
        Message { tag, producer, number, appended, count: block.count, records: block.bytes }
    }

    /// Sends one message and waits until it is confirmed and in the copy.
    fn send(&self, message: Message) -> Result<Sequence, LogError> {
        let failed = |source| LogError::Io { action: "append to", file: self.shared.stream.place(), source };
        let fenced = || failed(io::Error::other("another process has taken the log over"));
        if self.shared.is_fenced.load(Ordering::Acquire) {
            return Err(fenced());
        }
        let bytes = message.encode().map_err(failed)?;
        locked(&self.shared.awaited).insert(message.number, None);
        let until = Instant::now() + SEND_PATIENCE;
        let mut pause = SEND_PAUSE;
        while let Err(error) = self.shared.stream.publish(&bytes) {
            // It may have arrived; the same number again does no harm.
            if let Some(landed) = self.shared.wait_landed(message.number, (Instant::now() + pause).min(until)) {
                return Ok(landed);
            }
            if until <= Instant::now() {
                locked(&self.shared.awaited).remove(&message.number);
                return Err(failed(error));
            }
            pause *= 2;
        }
        self.shared.wait_landed(message.number, Instant::now() + LAND_PATIENCE).ok_or_else(|| {
            locked(&self.shared.awaited).remove(&message.number);
            if self.shared.is_fenced.load(Ordering::Acquire) {
                return fenced();
            }
            failed(io::Error::new(io::ErrorKind::TimedOut, "the broker has the message, and does not hand it back"))
        })
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
        if message.producer != self.producer {
            // One that began before us is what we go on from.
            let has_begun = !locked(&self.awaited).contains_key(&BEGIN);
            if message.number == BEGIN && has_begun {
                self.is_fenced.store(true, Ordering::Release);
                self.landed.notify_all();
                tracing::error!(place = %self.stream.place(), "Another process has taken the log over; nothing is accepted here any more");
            }
            return;
        }
        if let Some(place) = locked(&self.awaited).get_mut(&message.number) {
            *place = Some(first);
            self.landed.notify_all();
        }
    }
}

/// Finds the tag of the log: that of the first message that is kept, after one was sent if there is none.
fn tag_of(stream: &dyn Stream, producer: u64, now: Timestamp) -> Result<u64, LogError> {
    let begin = Message { tag: random(), producer, number: 0, appended: now, count: 0, records: Vec::new() };
    let mut is_sent = false;
    let mut told: Option<Instant> = None;
    loop {
        let tried = stream.read(0, Duration::from_secs(1)).and_then(|found| match found.first() {
            Some((_, first)) => Ok(Some(Message::decode(first))),
            None if is_sent => Ok(None),
            None => stream.publish(&begin.encode()?).map(|()| {
                is_sent = true;
                None
            }),
        });
        match tried {
            Ok(Some(Some(first))) => return Ok(first.tag),
            Ok(Some(None)) => {
                let source = io::Error::new(io::ErrorKind::InvalidData, "its messages are of somebody else");
                return Err(LogError::Io { action: "use", file: stream.place(), source });
            }
            Ok(None) => {}
            Err(error) => {
                if told.is_none_or(|it| TELL_EVERY <= it.elapsed()) {
                    told = Some(Instant::now());
                    tracing::warn!(place = %stream.place(), reason = %error, "The broker of the log cannot be used; it is tried again");
                }
                thread::sleep(SEND_PAUSE * 5);
            }
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
    if block.len() < MESSAGE_BYTES {
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
        if MESSAGE_BYTES <= part.bytes.len() {
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
        if MARKS_EVERY <= now.since(sending.marks_at) {
            sending.marks_at = now;
            self.marks("").iter().for_each(|(key, value)| block.push_mark(key, value));
        }
        let mut first = None;
        for part in parts_of(block) {
            sending.number += 1;
            let landed = self.send(self.message(sending.number, now, part))?;
            first.get_or_insert(landed);
        }
        Ok(first.unwrap_or_default())
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
