//! Bytes of a file to batches of events: the same for a scan, an import and a file that is followed.

use std::io::{self, BufReader, Cursor, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use model::intake::{Events, Quarantined};
use model::time::Timestamp;
use normalize::formats::{self, Format, Sniffer};
use normalize::framing::{Framer, Framing};
use normalize::reading::{Ids, Reading};

/// A batch is handed over once its events have this many bytes: enough for one write to the log to be worth it.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// A batch is handed over once it has this many records, so that one of small lines is soon seen, too.
pub const BATCH_RECORDS_MAX: usize = 5_000;
/// How much is read at once, in bytes. A batch may be over its limits by what this completes.
pub const CHUNK_BYTES: usize = 64 << 10;

/// How much of the beginning tells how records are told apart, in bytes.
pub(super) const HEAD_BYTES: usize = 1024;
/// What a gzip stream begins with (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What is known about a file before it is read.
#[derive(Clone, Debug)]
pub struct FileReading {
    /// The name of the input.
    pub input: Arc<str>,
    /// What quarantine calls the file: its path as it was given.
    pub path: String,
    /// What tells this file from the next of the same name: ids are derived from it and the offset.
    pub file: String,
    /// Its format; `None` to find it out record by record.
    pub format: Option<&'static Format>,
    /// Whether the events have a time of receipt; those of a scan or an import have none.
    pub has_receipt: bool,
    /// Whether they are demo or self-test data.
    pub synthetic: bool,
}

/// Some records of a file, read.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events.
    pub events: Events,
    /// The records that could not be read.
    pub quarantined: Vec<Quarantined>,
    /// The offset from which everything comes that is in no batch yet, in unpacked bytes.
    pub position: u64,
}

impl Batch {
    /// Whether there is neither an event nor a record in quarantine.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.quarantined.is_empty()
    }

    fn is_full(&self) -> bool {
        let quarantined_bytes: usize = self.quarantined.iter().map(|it| it.record.len()).sum();
        BATCH_BYTES_MAX <= self.events.bytes.len() + quarantined_bytes
            || BATCH_RECORDS_MAX <= self.events.len() + self.quarantined.len()
    }
}

/// What a whole file had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many bytes were read, as they are stored: packed ones count packed.
    pub bytes: u64,
    /// How many events there were.
    pub events: u64,
    /// How many records could not be read.
    pub quarantined: u64,
}

/// Reads everything that `reader` has, unpacked if it begins like gzip, and hands it over in batches.
///
/// A last record without an end counts. `now` is the time of receipt, and that of events that name none.
/// Ends early, and well, when `on_batch` breaks.
///
/// # Errors
///
/// What `reader` says, and a broken gzip stream; the whole records before it have been handed over.
pub fn read_batches(
    reader: impl Read,
    reading: &FileReading,
    now: Timestamp,
    on_batch: &mut dyn FnMut(Batch) -> ControlFlow<()>,
) -> io::Result<Totals> {
    let mut counted = Counted { inner: reader, bytes: 0 };
    let (magic, ended) = read_up_to(&mut counted, GZIP_MAGIC.len());
    ended?;
    let mut counts = Totals::default();
    let mut on_batch = |batch: Batch| {
        counts.events += batch.events.len() as u64;
        counts.quarantined += batch.quarantined.len() as u64;
        on_batch(batch)
    };
    let is_packed = is_gzip(&magic);
    let whole = Cursor::new(magic).chain(&mut counted);
    let result = if is_packed {
        read_plain(MultiGzDecoder::new(BufReader::with_capacity(CHUNK_BYTES, whole)), reading, now, &mut on_batch)
    } else {
        read_plain(whole, reading, now, &mut on_batch)
    };
    result.map(|()| Totals { bytes: counted.bytes, ..counts })
}

fn read_plain(
    mut reader: impl Read,
    reading: &FileReading,
    now: Timestamp,
    on_batch: &mut dyn FnMut(Batch) -> ControlFlow<()>,
) -> io::Result<()> {
    let (head, ended) = read_up_to(&mut reader, HEAD_BYTES);
    let mut records = Records::new(reading.clone(), framing_of(reading, &head), 0);
    records.push(&head, now);
    let pumped = ended.and_then(|()| pump(&mut reader, &mut records, now, on_batch));
    if matches!(pumped, Ok(ControlFlow::Break(()))) {
        return Ok(());
    }
    if pumped.is_ok() {
        records.finish(now);
    }
    let last = records.take();
    if !last.is_empty() {
        // It was the last one: there is nothing to break off.
        let _ = on_batch(last);
    }
    pumped.map(|_| ())
}

/// Reads until the end; what is left in `records` then is for the caller.
pub(super) fn pump(
    reader: &mut impl Read,
    records: &mut Records,
    now: Timestamp,
    on_batch: &mut dyn FnMut(Batch) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => return Ok(ControlFlow::Continue(())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        records.push(&chunk[..read], now);
        if records.is_full() && on_batch(records.take()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

/// Whether a file that begins like this is packed.
pub(super) fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&GZIP_MAGIC)
}

/// How the records of a file that begins like this are told apart.
pub(super) fn framing_of(reading: &FileReading, head: &[u8]) -> Framing {
    reading.format.map_or_else(|| Framing::of_head(head), |it| it.framing)
}

/// Reads `max` bytes, or fewer at the end; what came before an error is there beside it.
pub(super) fn read_up_to(reader: &mut impl Read, max: usize) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::with_capacity(max);
    let ended = reader.by_ref().take(max as u64).read_to_end(&mut bytes);
    (bytes, ended.map(|_| ()))
}

/// The records of one file, gathered into a batch.
#[derive(Debug)]
pub(super) struct Records {
    reading: FileReading,
    framer: Framer,
    sniffer: Sniffer,
    batch: Batch,
}

impl Records {
    /// Begins at `offset`, which must be 0 or a [`Batch::position`].
    pub(super) fn new(reading: FileReading, framing: Framing, offset: u64) -> Self {
        let sniffer = reading.format.map_or_else(Sniffer::new, Sniffer::pinned);
        let batch = Batch { position: offset, ..Batch::default() };
        Self { reading, framer: Framer::new(framing, offset), sniffer, batch }
    }

    /// Goes on with the bytes that follow.
    pub(super) fn push(&mut self, bytes: &[u8], now: Timestamp) {
        self.frame(now, |framer, sink| framer.push(bytes, sink));
    }

    /// Takes what is left of a file that will not grow.
    pub(super) fn finish(&mut self, now: Timestamp) {
        self.frame(now, |framer, sink| framer.finish(sink));
    }

    /// Says that the rest of the file cannot be read at all.
    pub(super) fn give_up(&mut self, reason: String, now: Timestamp) {
        let offset = self.batch.position;
        let kept = Kept { record: &[], bytes: None };
        self.batch.quarantined.push(quarantined(&self.reading, offset, reason, kept, now));
    }

    /// Whether enough has been gathered for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// Returns what has been gathered.
    pub(super) fn take(&mut self) -> Batch {
        let next = Batch { position: self.batch.position, ..Batch::default() };
        std::mem::replace(&mut self.batch, next)
    }

    fn frame(&mut self, now: Timestamp, go_on: impl FnOnce(&mut Framer, &mut normalize::framing::Sink<'_>)) {
        let Self { reading, framer, sniffer, batch } = self;
        let how = Reading {
            input: &reading.input,
            received: reading.has_receipt.then_some(now),
            now,
            synthetic: reading.synthetic,
            ids: Ids::File { file: &reading.file },
        };
        go_on(framer, &mut |offset, record| {
            let (kept, read) = match record {
                Ok(record) => {
                    let kept = Kept { record, bytes: Some(record.len() as u64) };
                    (kept, sniffer.read(record, offset, &how, &mut batch.events.bytes))
                }
                Err(it) => (Kept { record: it.beginning, bytes: it.bytes }, Err(it.refusal)),
            };
            match read {
                Ok(formats::Read::Event) => batch.events.close(),
                Ok(formats::Read::Nothing) => {}
                Err(refusal) => batch.quarantined.push(quarantined(reading, offset, refusal.message, kept, now)),
            }
        });
        batch.position = framer.position();
    }
}

/// What there is of a record, and how long it is where its end is known.
pub(super) struct Kept<'a> {
    pub(super) record: &'a [u8],
    pub(super) bytes: Option<u64>,
}

pub(super) fn quarantined(
    reading: &FileReading,
    offset: u64,
    reason: String,
    kept: Kept<'_>,
    now: Timestamp,
) -> Quarantined {
    Quarantined {
        input: reading.input.to_string(),
        place: format!("{}:offset {offset}", reading.path),
        format: reading.format.map_or_else(String::new, |it| it.name.to_owned()),
        reason,
        received: now,
        record: kept.record.to_vec(),
        bytes: kept.bytes,
        synthetic: reading.synthetic,
    }
}

/// Counts what goes through.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
#[path = "batches_tests.rs"]
mod tests;
