//! The embedded log: one partition of preallocated segments in a folder, each frame synced before it is acknowledged.
//!
//! One writer appends under `writer`; readers share `state` for moments only and read files outside of it. A file on
//! which a write or a sync failed is never written again: nobody knows what of it is durable. The next append goes on
//! in a new segment, whose first number says where the old one ends.

pub mod files;
pub mod frame;
mod group;
pub mod index;
mod read;
mod recover;
mod search;
pub mod segment;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use model::id::EventId;
use model::place::{PartitionId, Position, Sequence};
use model::time::Timestamp;

use self::files::{File, Files};
use self::frame::{Framer, Salt};
use self::group::GroupCache;
use self::index::{Index, IndexFile, Summary};
use self::read::empty_at;
use self::recover::{
    add_damage, add_lost_tail, begins_whole, open_segment, recall, remove_orphans, summary_of, walk_segment,
};
use self::segment::{Bounds, first_of_name, index_name_of, name_of};
use super::{Block, Damage, Log, LogError, Page, ReadBlock, Record, Search};

/// What the name of a file ends with until it is whole.
const TEMPORARY_ENDING: &str = ".tmp";

/// How large the log grows.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The size of a segment in bytes.
    pub segment_bytes: u64,
    /// Segments are removed, oldest first, while all together are larger than this.
    pub keep_bytes: u64,
    /// Segments are removed when their last record is older than this.
    pub keep_age: Duration,
    /// Whether it is a copy of what a broker keeps: its numbers are the broker's and have gaps, and nothing is synced,
    /// since what is lost is read again.
    pub is_copy: bool,
}

impl Default for Settings {
    /// 14 days or 20 GiB, whichever comes first; segments of 64 MiB.
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            keep_bytes: 20 << 30,
            keep_age: Duration::from_secs(14 * 86_400),
            is_copy: false,
        }
    }
}

/// The embedded log.
pub struct EmbeddedLog {
    files: Arc<dyn Files>,
    settings: Settings,
    tag: u64,
    writer: Mutex<Writer>,
    state: Mutex<State>,
    /// The segments whose index was found whole, or was built anew.
    checked: Mutex<HashSet<Sequence>>,
    /// The indexes that are being written.
    sealing: Mutex<BTreeMap<Sequence, thread::JoinHandle<()>>>,
    /// The groups that were read last.
    groups: GroupCache,
    grown: Condvar,
}

struct Writer {
    framer: Framer,
    frames: Vec<u8>,
    /// Where the next frame goes; `None` when the newest segment must not be written any more.
    offset: Option<u64>,
}

struct State {
    sealed: Vec<Sealed>,
    active: Option<Active>,
    tail: VecDeque<ReadBlock>,
    tail_bytes: usize,
    end: u64,
    released: u64,
    marks: BTreeMap<String, Vec<u8>>,
    damage: Damage,
}

#[derive(Clone, Copy, Debug)]
struct Sealed {
    first: Sequence,
    summary: Summary,
    bytes: u64,
    salt: Salt,
}

struct Active {
    first: Sequence,
    file: Arc<dyn File>,
    index: Index,
    appended: Timestamp,
    /// How much of the file is written.
    bytes: u64,
    salt: Salt,
}

pub(in crate::log) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panicked while it held the lock left whole values behind: every change under it is a plain assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn io_error(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> LogError {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LogError::Full(source),
        _ => LogError::Io { action, file: file.to_owned(), source },
    }
}

impl EmbeddedLog {
    /// Opens the log in a folder of which nothing else is known; see [`Self::open_synced`].
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] and [`LogError::Newer`].
    pub fn open(files: Arc<dyn Files>, settings: Settings) -> Result<Self, LogError> {
        Self::open_synced(files, settings, Position::START)
    }

    /// Opens the log in a folder, or begins one. A torn tail is cut, what is damaged is counted; only a folder that
    /// cannot be read, or that a later version wrote, is an error.
    ///
    /// Everything before `synced` has been read once, so it was acknowledged: where it is missing it is lost, and its
    /// numbers are not given again, since ids of events are made of them.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] and [`LogError::Newer`].
    pub fn open_synced(files: Arc<dyn Files>, settings: Settings, synced: Position) -> Result<Self, LogError> {
        Self::open_tagged(files, settings, synced, None)
    }

    /// The same for one that is begun with this tag, when there is none yet.
    pub(in crate::log) fn open_tagged(
        files: Arc<dyn Files>,
        settings: Settings,
        synced: Position,
        new: Option<u64>,
    ) -> Result<Self, LogError> {
        let mut names = files.list().map_err(io_error("list", "events"))?;
        names.sort();
        let firsts: Vec<Sequence> = names.iter().filter_map(|it| first_of_name(it)).collect();
        remove_orphans(files.as_ref(), &names, &firsts);
        let mut state = State {
            sealed: Vec::new(),
            active: None,
            tail: VecDeque::new(),
            tail_bytes: 0,
            end: firsts.last().map_or(0, |it| it.0),
            released: 0,
            marks: BTreeMap::new(),
            damage: Damage::default(),
        };
        let (mut tag, mut is_clean) = (None, false);
        for (at, &first) in firsts.iter().enumerate() {
            let next = firsts.get(at + 1).copied();
            match next.and_then(|it| summary_of(files.as_ref(), first, it)) {
                Some(sealed) => state.sealed.push(sealed),
                None => {
                    let bounds = Bounds { limit: next, synced, has_gaps: settings.is_copy };
                    let opened = open_segment(files.as_ref(), &mut state, first, bounds)?;
                    (tag, is_clean) = (opened.tag.or(tag), opened.is_clean);
                }
            }
        }
        let is_begun = state.active.as_ref().is_some_and(begins_whole);
        if tag.is_none() || !is_begun {
            tag = recall(files.as_ref(), &firsts, &mut state.marks)?.or(tag);
        }
        let is_short = state.end < synced.0;
        add_lost_tail(&mut state.damage, state.end, synced);
        state.end = state.end.max(synced.0);
        // Behind a torn tail, what is left of it could be taken for frames: such a segment is not written again. Nor is one
        // that lost its end: the next one begins behind the gap.
        let offset = state.active.as_ref().map(|it| it.bytes).filter(|_| is_clean && is_begun && !is_short);
        let salt = state.active.as_ref().map(|it| it.salt).unwrap_or_default();
        let log = Self {
            tag: tag.or(new).unwrap_or_else(new_tag),
            files,
            settings,
            writer: Mutex::new(Writer { framer: Framer::new(salt), frames: Vec::new(), offset }),
            state: Mutex::new(state),
            checked: Mutex::default(),
            sealing: Mutex::default(),
            groups: GroupCache::default(),
            grown: Condvar::new(),
        };
        Ok(log)
    }

    /// Looks at every byte of the log without changing it. `synced` is as for [`Self::open_synced`]; in a copy of what a
    /// broker keeps nothing is lost that is missing.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] and [`LogError::Newer`].
    pub fn check(files: &dyn Files, synced: Position, is_copy: bool) -> Result<Damage, LogError> {
        let mut names = files.list().map_err(io_error("list", "events"))?;
        names.sort();
        let firsts: Vec<Sequence> = names.iter().filter_map(|it| first_of_name(it)).collect();
        let (mut damage, mut end) = (Damage::default(), 0);
        for (at, &first) in firsts.iter().enumerate() {
            let next = firsts.get(at + 1).copied();
            let walked = walk_segment(files, first, Bounds { limit: next, synced, has_gaps: is_copy }, |_| {})?;
            end = walked.1.end;
            let index = files.open(&index_name_of(first)).ok();
            if index.is_some_and(|it| IndexFile::open(it).is_none_or(|it| !it.is_whole())) {
                damage.damaged_places += 1;
                damage
                    .findings
                    .push(format!("`{}`: the index is damaged and will be built anew", index_name_of(first)));
            }
            if let Some(next) = next
                && walked.1.end < next.0
                && !is_copy
            {
                damage.records_lost += next.0 - walked.1.end;
                damage.findings.push(format!(
                    "`{}`: records {} to {} are lost",
                    name_of(first),
                    walked.1.end,
                    next.0 - 1
                ));
            }
            add_damage(&mut damage, walked.1.damage);
        }
        if !is_copy {
            add_lost_tail(&mut damage, end, synced);
        }
        Ok(damage)
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        let writing = std::mem::take(&mut *locked(&self.sealing));
        for thread in writing.into_values() {
            // What was not written is built anew at the next start.
            let _ = thread.join();
        }
    }
}

fn new_tag() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the tag is 0, and ids by construction are those of another log without it: not unsafe, only ambiguous.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

impl Log for EmbeddedLog {
    fn partitions(&self) -> u32 {
        1
    }

    fn tag(&self) -> u64 {
        self.tag
    }
    fn append(&self, _partition: PartitionId, block: &mut Block, now: Timestamp) -> Result<Sequence, LogError> {
        self.write(None, block, now)
    }

    fn end(&self, _partition: PartitionId) -> Position {
        Position(locked(&self.state).end)
    }

    fn start(&self, _partition: PartitionId) -> Position {
        let state = locked(&self.state);
        let first = state.sealed.first().map(|it| it.first).or(state.active.as_ref().map(|it| it.first));
        Position(first.map_or(state.end, |it| it.0))
    }

    fn back(&self, _partition: PartitionId, from: Position, records: u64) -> Result<Position, LogError> {
        if self.settings.is_copy {
            self.count_back(from, records)
        } else {
            Ok(Position(from.0.saturating_sub(records)))
        }
    }

    fn read(&self, _partition: PartitionId, from: Position) -> Result<ReadBlock, LogError> {
        {
            let state = locked(&self.state);
            if state.end <= from.0 {
                return Ok(empty_at(from));
            }
            if state.tail.front().is_some_and(|it| it.first().0 <= from.0) {
                let at = state.tail.partition_point(|it| it.next() <= from);
                if let Some(block) = state.tail.get(at) {
                    return Ok(block.clone());
                }
            }
        }
        self.read_from_files(from)
    }

    fn wait(&self, _partition: PartitionId, position: Position, timeout: Duration) -> bool {
        let state = locked(&self.state);
        let waited = self.grown.wait_timeout_while(state, timeout, |it| it.end <= position.0);
        waited.map_or_else(|it| position.0 < it.into_inner().0.end, |(state, _)| position.0 < state.end)
    }

    fn mark(&self, key: &str) -> Option<Vec<u8>> {
        locked(&self.state).marks.get(key).cloned()
    }

    fn marks(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let state = locked(&self.state);
        let from = state.marks.range(prefix.to_owned()..);
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
    fn find(&self, id: EventId) -> Result<Option<(Sequence, Vec<u8>)>, LogError> {
        self.find_event(id)
    }

    fn search(&self, search: &Search) -> Result<Page, LogError> {
        self.page_of(search)
    }

    fn repeatable_ids(&self, max: usize, see: &mut dyn FnMut(EventId)) -> Result<(), LogError> {
        self.each_repeatable_id(max, see)
    }

    fn specials(&self, see: &mut dyn FnMut(Record<'_>) -> bool) -> Result<(), LogError> {
        self.each_special(see)
    }

    fn release(&self, _partition: PartitionId, position: Position) {
        let mut state = locked(&self.state);
        state.released = state.released.max(position.0);
    }

    fn damage(&self) -> Damage {
        locked(&self.state).damage.clone()
    }

    fn size_bytes(&self) -> u64 {
        let state = locked(&self.state);
        state.sealed.iter().map(|it| it.bytes).sum::<u64>() + state.active.as_ref().map_or(0, |it| it.bytes)
    }
}
