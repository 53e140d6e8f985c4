//! Following a file that grows, rotates and is truncated.
//!
//! One thread a file, which asks for its size now and then. Where the file was read to is written with the events
//! themselves, and ids are derived from file and offset: after a crash nothing is lost and nothing counts twice.
//! Files that came and were rotated away while nobody looked are read from beside the followed one, where they have
//! the name that rotation gives, packed with gzip or not. A file that is not found again is a gap: it is kept in
//! quarantine with the place from which on it is missing, so the ledger counts it. Not found: what was appended to a
//! file and truncated away between two looks.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::intake::{IngestError, Submission};
use model::time::Timestamp;
use normalize::formats::Format;

use super::batches::{self, Batch, FileReading};
use super::mark::Mark;
use super::rotated::{self, Age};
use super::stop::Stop;
use super::tail::{Progress, Tail, Taker};
use crate::sink::Sink;

/// A file that is to be followed.
#[derive(Clone, Debug)]
pub struct FileInput {
    /// Where it is, or will be.
    pub path: PathBuf,
    /// The name of the input: the path as it was given. No two inputs may have the same.
    pub name: String,
    /// Its format; `None` to find it out record by record.
    pub format: Option<&'static Format>,
    /// Whether its events are demo or self-test data.
    pub synthetic: bool,
}

/// How often a file is looked at, and how patiently a sink is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time between two looks.
    pub poll: Duration,
    /// A file that was rotated away is left after so many looks without anything new: writers finish late.
    pub idle_polls: u32,
    /// The first wait when the sink takes nothing; it doubles each time.
    pub retry_min: Duration,
    /// The longest.
    pub retry_max: Duration,
}

impl Default for Pace {
    /// Five looks a second; left after a second; from 100 ms to 5 s between two tries.
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(200),
            idle_polls: 5,
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
        }
    }
}

/// What came of following.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// How many batches the sink took.
    pub batches: u64,
    /// How many of them had to wait for it.
    pub waited: u64,
}

/// Follows a file, on this thread, until `stop` is said or the sink is stopping.
///
/// A file that is not there is waited for; one that cannot be read is logged once and tried again.
pub fn follow(input: &FileInput, sink: &dyn Sink, stop: &Stop, pace: &Pace) -> Followed {
    let mut follower = Follower::new(input, sink, stop, pace);
    follower.run();
    follower.hand.followed
}

struct Follower<'a> {
    input: &'a FileInput,
    pace: &'a Pace,
    hand: Hand<'a>,
    /// What an earlier process remembered, as long as it has not been used.
    saved: Option<Mark>,
    tail: Option<Tail>,
    /// The generation of the next file.
    generation: u64,
    /// The age of the file that was read last, as long as its successor has not been opened.
    left: Option<Age>,
    /// Whether files are read that came while nobody looked: only then may the next one be packed already.
    is_catching_up: bool,
    /// For how many looks nothing came to a file that was rotated away.
    idle_polls: u32,
    /// What was last complained about.
    trouble: Option<String>,
}

impl<'a> Follower<'a> {
    fn new(input: &'a FileInput, sink: &'a dyn Sink, stop: &'a Stop, pace: &'a Pace) -> Self {
        let mark_key = format!("file/{}", input.name);
        let saved = sink.mark(&mark_key).and_then(|it| Mark::decode(&it));
        let name = Arc::from(input.name.as_str());
        let hand = Hand { input: name, mark_key, sink, stop, pace, followed: Followed::default() };
        Self {
            input,
            pace,
            hand,
            saved,
            tail: None,
            generation: 0,
            left: None,
            is_catching_up: false,
            idle_polls: 0,
            trouble: None,
        }
    }

    fn run(&mut self) {
        let stop = self.hand.stop;
        while !stop.is_said() {
            let looked = self.look();
            let is_stopped = matches!(looked, Ok(Progress::Stopped));
            self.complain(looked.err());
            if is_stopped || stop.is_said_within(self.pace.poll) {
                return;
            }
        }
    }

    /// Looks once for what is new.
    fn look(&mut self) -> io::Result<Progress> {
        if self.tail.is_none() {
            self.tail = self.open()?;
        }
        let Some(tail) = &mut self.tail else { return Ok(Progress::Idle) };
        let progress = tail.read_on(&mut self.hand)?;
        if progress == Progress::Stopped {
            return Ok(progress);
        }
        let is_over = is_left(tail, &self.input.path)? || (self.is_catching_up && has_next(tail, &self.input.path)?);
        if progress == Progress::Moved || !is_over {
            self.idle_polls = 0;
            return Ok(progress);
        }
        self.idle_polls += 1;
        if self.idle_polls < self.pace.idle_polls {
            return Ok(progress);
        }
        let progress = tail.finish(&mut self.hand)?;
        self.generation = tail.generation() + 1;
        self.left = Some(tail.age()?);
        self.idle_polls = 0;
        self.tail = None;
        Ok(progress)
    }

    /// Opens the file to be read next; `None` when there is none yet.
    fn open(&mut self) -> io::Result<Option<Tail>> {
        let file = open_regular(&self.input.path)?;
        if let Some(mark) = self.saved
            && let Some((found, mark)) = self.find(&mark, file.as_ref())?
        {
            self.saved = None;
            let is_under_path = match &file {
                Some(file) => mark.is_of(file)?,
                None => false,
            };
            self.is_catching_up = !is_under_path;
            return Tail::new(found, mark, self.reading()).map(Some);
        }
        if file.is_none() && self.saved.is_some() {
            return Ok(None);
        }
        let gap = self.saved.take();
        if let Some(mark) = &gap {
            self.generation = mark.generation + 1;
            self.left = Age::of_mark(mark);
            self.is_catching_up = true;
        }
        let Some(file) = self.next(file)? else { return Ok(None) };
        let mark = Mark::at_start_of(&file.metadata()?, self.generation);
        if let Some(gap) = gap
            && self.tell_of_gap(&gap, &mark).is_break()
        {
            self.saved = Some(gap);
            return Ok(None);
        }
        self.left = None;
        Tail::new(file, mark, self.reading()).map(Some)
    }

    /// The file after the one that was read last: one that was rotated away meanwhile, else the one under the path.
    fn next(&mut self, file: Option<File>) -> io::Result<Option<File>> {
        let next = self.left.and_then(|it| rotated::next_after(&self.input.path, it, self.is_catching_up));
        if let Some(path) = next
            && let Some(file) = open_regular(&path)?
        {
            let name = path.display();
            tracing::info!(file.path = %name, "`{name}` was rotated away before it was read; it is read now");
            self.is_catching_up = true;
            return Ok(Some(file));
        }
        self.is_catching_up &= file.is_none();
        Ok(file)
    }

    /// Says that the rest of a file was not found, in the log and in quarantine, where it is counted.
    fn tell_of_gap(&mut self, gap: &Mark, next: &Mark) -> ControlFlow<()> {
        if gap.is_finished {
            return ControlFlow::Continue(());
        }
        let name = &self.input.name;
        tracing::warn!(
            file.path = %name,
            file.offset = gap.offset,
            "What `{name}` was before is gone, and not beside it: what came to it behind offset {} is missing",
            gap.offset
        );
        let reason = format!(
            "the file was removed or rotated away before it was read to its end: what came behind offset {} is missing",
            gap.offset
        );
        let missing = batches::quarantined(
            &self.reading(),
            gap.offset,
            reason,
            batches::Kept { record: &[], bytes: None },
            self.hand.now(),
        );
        let batch = Batch { quarantined: vec![missing], ..Batch::default() };
        self.hand.take(batch, next)
    }

    /// Finds the file that `mark` is about: under the path, or beside it under a name that rotation gave it, copied or
    /// packed; returns it with the mark for it.
    fn find(&self, mark: &Mark, file: Option<&File>) -> io::Result<Option<(File, Mark)>> {
        if let Some(file) = file
            && mark.is_of(file)?
        {
            return Ok(Some((file.try_clone()?, *mark)));
        }
        for path in rotated::siblings(&self.input.path) {
            let is_inode = fs::metadata(&path).is_ok_and(|it| it.ino() == mark.inode);
            // A sibling that cannot be opened, or is gone again, is not the one.
            if is_inode
                && let Ok(Some(file)) = open_regular(&path)
                && mark.is_of(&file)?
            {
                return Ok(Some((file, *mark)));
            }
        }
        match rotated::copy_of(&self.input.path, mark).map(|it| open_regular(&it)) {
            Some(Ok(Some(file))) => {
                let mark = mark.moved_to(&file)?;
                Ok(Some((file, mark)))
            }
            _ => Ok(None),
        }
    }

    fn reading(&self) -> FileReading {
        FileReading {
            input: self.hand.input.clone(),
            path: self.input.name.clone(),
            file: String::new(),
            format: self.input.format,
            has_receipt: true,
            synthetic: self.input.synthetic,
        }
    }

    /// Logs an error when it is new, and that it is over when it is.
    fn complain(&mut self, error: Option<io::Error>) {
        let trouble = error.map(|it| it.to_string());
        if trouble == self.trouble {
            return;
        }
        let name = &self.input.name;
        match &trouble {
            Some(reason) => tracing::warn!(file.path = %name, %reason, "`{name}` cannot be read; trying again"),
            None => tracing::info!(file.path = %name, "`{name}` can be read again"),
        }
        self.trouble = trouble;
    }
}

/// Whether the name has gone to another file that has something in it, or no name leads to this one.
fn is_left(tail: &Tail, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(it) => Ok(!tail.is(it.dev(), it.ino()) && 0 < it.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => tail.is_deleted(),
        Err(error) => Err(error),
    }
}

/// Whether a file that was rotated away, and has another name now, has a successor that was, too.
fn has_next(tail: &Tail, path: &Path) -> io::Result<bool> {
    let is_under_path = fs::metadata(path).is_ok_and(|it| tail.is(it.dev(), it.ino()));
    Ok(!is_under_path && rotated::next_after(path, tail.age()?, true).is_some())
}

/// Opens a file; `None` when there is none. Anything but a regular file could keep us waiting for ever.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    match fs::metadata(path) {
        Ok(it) if it.is_file() => {}
        Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hands batches to the sink, and waits when it has no room.
struct Hand<'a> {
    input: Arc<str>,
    mark_key: String,
    sink: &'a dyn Sink,
    stop: &'a Stop,
    pace: &'a Pace,
    followed: Followed,
}

impl Taker for Hand<'_> {
    fn take(&mut self, batch: Batch, mark: &Mark) -> ControlFlow<()> {
        let mut delay = self.pace.retry_min;
        let mut has_waited = false;
        loop {
            let error = match self.sink.submit_blocking(self.submission(&batch, mark)) {
                Ok(_) => break,
                Err(IngestError::Stopping) => return ControlFlow::Break(()),
                Err(error) => error,
            };
            if !has_waited {
                has_waited = true;
                self.followed.waited += 1;
                tracing::warn!(input = %self.input, reason = %error, "Reading `{}` waits until there is room", self.input);
            }
            if self.stop.is_said_within(delay) {
                return ControlFlow::Break(());
            }
            delay = (delay * 2).min(self.pace.retry_max);
        }
        if has_waited {
            tracing::info!(input = %self.input, "Reading `{}` goes on", self.input);
        }
        self.followed.batches += 1;
        // A long file must not hold up the end: the rest of it is for the next start.
        if self.stop.is_said() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn now(&self) -> Timestamp {
        self.sink.now()
    }
}

impl Hand<'_> {
    fn submission(&self, batch: &Batch, mark: &Mark) -> Submission {
        Submission {
            input: self.input.clone(),
            events: batch.events.clone(),
            quarantined: batch.quarantined.clone(),
            marks: vec![(self.mark_key.clone(), mark.encode())],
            ..Submission::default()
        }
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
