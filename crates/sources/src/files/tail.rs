//! One open file that may grow or be truncated, and how far it has been read.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};

use flate2::bufread::MultiGzDecoder;
use model::time::Timestamp;
use normalize::framing::Framing;

use super::batches::{self, Batch, CHUNK_BYTES, FileReading, HEAD_BYTES, Records};
use super::mark::{self, Fingerprint, Mark};
use super::rotated::Age;

/// From this many bytes on a head that looks like a document is one: it is `{"Records"`.
const DOCUMENT_HEAD_BYTES: usize = 10;

/// Where a tail hands over its batches, with the mark that goes with each, and what time it is.
pub(super) trait Taker {
    /// Takes a batch; breaks when nothing more is wanted.
    fn take(&mut self, batch: Batch, mark: &Mark) -> ControlFlow<()>;

    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// What reading on came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There was nothing new.
    Idle,
    /// There was something new.
    Moved,
    /// The taker wants nothing more.
    Stopped,
}

/// How the bytes of a file are to be taken.
#[derive(Debug, Default)]
enum Content {
    /// Too short to tell.
    #[default]
    Unknown,
    /// As they are.
    Plain {
        records: Box<Records>,
        /// Up to where they have been read.
        read_to: u64,
    },
    /// As one gzip stream, which was this long when it was last tried.
    Packed { size: Option<u64> },
}

/// One open file.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    mark: Mark,
    reading: FileReading,
    content: Content,
}

impl Tail {
    /// Goes on with `file` from `mark`, which must be about it. `reading.file` is set from it.
    ///
    /// # Errors
    ///
    /// What the system says when it is asked about the file.
    pub(super) fn new(file: File, mark: Mark, reading: FileReading) -> io::Result<Self> {
        let mark = Mark { device: file.metadata()?.dev(), ..mark };
        let reading = FileReading { file: mark.file_id(&reading.path), ..reading };
        Ok(Self { file, mark, reading, content: Content::Unknown })
    }

    pub(super) const fn generation(&self) -> u64 {
        self.mark.generation
    }

    /// Whether the file that `device` and `inode` name is this one.
    pub(super) const fn is(&self, device: u64, inode: u64) -> bool {
        self.mark.device == device && self.mark.inode == inode
    }

    /// When it was made and last written.
    pub(super) fn age(&self) -> io::Result<Age> {
        self.file.metadata().map(|it| Age::of(&it))
    }

    /// Whether no name leads to it any more.
    pub(super) fn is_deleted(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Reads what is new and hands it over.
    pub(super) fn read_on(&mut self, taker: &mut dyn Taker) -> io::Result<Progress> {
        self.read(false, taker)
    }

    /// Reads the rest of a file that will not grow: a last line without an end is a record.
    pub(super) fn finish(&mut self, taker: &mut dyn Taker) -> io::Result<Progress> {
        let progress = self.read(true, taker)?;
        if progress == Progress::Stopped || self.mark.is_finished || !matches!(self.content, Content::Packed { .. }) {
            return Ok(progress);
        }
        let mut records = Records::new(self.reading.clone(), Framing::Lines, self.mark.offset);
        records.give_up("the gzip stream ends too soon".to_owned(), taker.now());
        self.mark.is_finished = true;
        Ok(self.hand_over(&mut records, taker, progress))
    }

    fn read(&mut self, is_all: bool, taker: &mut dyn Taker) -> io::Result<Progress> {
        if self.is_truncated()? {
            self.begin_again();
        }
        self.mark.fingerprint = Fingerprint::of(&self.file)?;
        if matches!(self.content, Content::Unknown) {
            self.find_out(is_all)?;
        }
        let size = self.file.metadata()?.len();
        match std::mem::take(&mut self.content) {
            Content::Unknown => Ok(Progress::Idle),
            Content::Plain { records, read_to } => self.read_plain(records, read_to, is_all, taker),
            Content::Packed { size: tried } if self.mark.is_finished || tried == Some(size) => {
                self.content = Content::Packed { size: tried };
                Ok(Progress::Idle)
            }
            Content::Packed { .. } => self.read_packed(size, taker),
        }
    }

    /// Whether what was read is not there any more.
    fn is_truncated(&self) -> io::Result<bool> {
        let read_to = match &self.content {
            Content::Plain { read_to, .. } => *read_to,
            Content::Unknown => self.start_of_plain()?,
            Content::Packed { .. } => 0,
        };
        Ok(self.file.metadata()?.len() < read_to || !self.mark.fingerprint.is_of(&self.file)?)
    }

    /// Where a file of which nothing has been read yet must at least reach.
    fn start_of_plain(&self) -> io::Result<u64> {
        let head = self.head()?;
        Ok(if batches::is_gzip(&head) { 0 } else { self.mark.offset })
    }

    fn begin_again(&mut self) {
        tracing::info!(
            file.path = %self.reading.path,
            file.offset = self.mark.offset,
            "`{}` was truncated; it is read from its start again",
            self.reading.path
        );
        self.mark = Mark {
            generation: self.mark.generation + 1,
            fingerprint: Fingerprint::default(),
            offset: 0,
            is_finished: false,
            ..self.mark
        };
        self.reading.file = self.mark.file_id(&self.reading.path);
        self.content = Content::Unknown;
    }

    fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = vec![0; HEAD_BYTES];
        let length = mark::read_at_most(&self.file, &mut head)?;
        head.truncate(length);
        Ok(head)
    }

    /// Finds out how the file is to be taken, once its beginning tells, or with what `is_all` there is.
    fn find_out(&mut self, is_all: bool) -> io::Result<()> {
        let head = self.head()?;
        if batches::is_gzip(&head) {
            self.content = Content::Packed { size: None };
        } else if is_all || self.is_telling(&head) {
            let framing = batches::framing_of(&self.reading, &head);
            let records = Box::new(Records::new(self.reading.clone(), framing, self.mark.offset));
            self.content = Content::Plain { records, read_to: self.mark.offset };
        }
        Ok(())
    }

    fn is_telling(&self, head: &[u8]) -> bool {
        let is_document = || DOCUMENT_HEAD_BYTES <= head.len() && Framing::of_head(head) == Framing::Document;
        let is_long = head.len() == HEAD_BYTES || head.contains(&b'\n');
        is_long || is_document() || (self.reading.format.is_some() && 2 <= head.len())
    }

    fn read_plain(
        &mut self,
        mut records: Box<Records>,
        from: u64,
        is_all: bool,
        taker: &mut dyn Taker,
    ) -> io::Result<Progress> {
        let mut read_to = from;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = read_at(&self.file, &mut chunk, read_to)?;
            if read == 0 {
                break;
            }
            records.push(&chunk[..read], taker.now());
            read_to += read as u64;
            if records.is_full() && self.hand_over(&mut records, taker, Progress::Moved) == Progress::Stopped {
                return Ok(Progress::Stopped);
            }
        }
        if is_all {
            records.finish(taker.now());
        }
        let progress = if from < read_to { Progress::Moved } else { Progress::Idle };
        let progress = self.hand_over(&mut records, taker, progress);
        self.content = Content::Plain { records, read_to };
        Ok(progress)
    }

    /// Unpacks the file from its start, passes over what was taken and hands over the rest.
    ///
    /// A stream that ends too soon may still be written; it is tried again when its `size` has changed.
    fn read_packed(&mut self, size: u64, taker: &mut dyn Taker) -> io::Result<Progress> {
        self.content = Content::Packed { size: Some(size) };
        let mut mark = self.mark;
        let mut records = Records::new(self.reading.clone(), Framing::Lines, mark.offset);
        let now = taker.now();
        let pumped = self.unpack(&mut records, now, &mut |batch| {
            mark.offset = batch.position;
            taker.take(batch, &mark)
        });
        self.mark = mark;
        match pumped {
            Ok(ControlFlow::Break(())) => return Ok(Progress::Stopped),
            Ok(ControlFlow::Continue(())) => {
                records.finish(now);
                self.mark.is_finished = true;
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                records.give_up(format!("the gzip stream is broken: {error}"), now);
                self.mark.is_finished = true;
            }
            Err(error) => {
                // The disk, not the stream: what is not handed over is read again.
                self.content = Content::Unknown;
                return Err(error);
            }
        }
        Ok(self.hand_over(&mut records, taker, Progress::Moved))
    }

    /// Reads the file unpacked from where its mark is; `records` is made anew once its framing is known.
    fn unpack(
        &self,
        records: &mut Records,
        now: Timestamp,
        on_batch: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        (&self.file).seek(SeekFrom::Start(0))?;
        let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(CHUNK_BYTES, &self.file));
        let (head, ended) = batches::read_up_to(&mut unpacked, HEAD_BYTES);
        *records = Records::new(self.reading.clone(), batches::framing_of(&self.reading, &head), self.mark.offset);
        if let Err(error) = ended {
            // So short a stream that ends too soon may not even tell its framing yet.
            if error.kind() != io::ErrorKind::UnexpectedEof {
                let taken = usize::try_from(self.mark.offset).unwrap_or(usize::MAX);
                records.push(head.get(taken..).unwrap_or_default(), now);
            }
            return Err(error);
        }
        let mut whole = Cursor::new(head).chain(unpacked);
        io::copy(&mut whole.by_ref().take(self.mark.offset), &mut io::sink())?;
        batches::pump(&mut whole, records, now, on_batch)
    }

    /// Hands over what has been gathered, if there is anything; returns `progress` unless it is stopped.
    fn hand_over(&mut self, records: &mut Records, taker: &mut dyn Taker, progress: Progress) -> Progress {
        let batch = records.take();
        self.mark.offset = batch.position;
        if batch.is_empty() || taker.take(batch, &self.mark).is_continue() { progress } else { Progress::Stopped }
    }
}

/// Reads at an offset, however often it is interrupted.
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(out, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
