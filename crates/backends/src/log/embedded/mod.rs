//! The embedded log: one partition of preallocated segments in a folder, each frame synced before it is acknowledged.
//!
//! One writer appends under `writer`; readers share `state` for moments only and read files outside of it. A file on
//! which a write or a sync failed is never written again: nobody knows what of it is durable. The next append goes on
//! in a new segment, whose first number says where the old one ends.

pub mod files;
pub mod frame;
pub mod index;
mod recover;
pub mod segment;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use model::event::{EventFlags, EventView, set_id, take_varint};
use model::id::EventId;
use model::place::{PartitionId, Position, Sequence};
use model::time::Timestamp;

use self::files::{File, Files, Memory};
use self::frame::{Framer, Salt};
use self::index::{Group, Index, IndexFile, Summary};
use self::recover::{add_damage, begins_whole, open_segment, recall, remove_orphans, summary_of, walk_segment};
use self::segment::{SegmentHead, first_of_name, index_name_of, name_of, read_group};
use super::{Block, Damage, Log, LogError, Page, ReadBlock, Record, RecordKind, Search};
use crate::failpoint;

/// Blocks are framed in parts of about this many bytes: to look one event up, one of them is unpacked.
const FRAME_BYTES: usize = 128 << 10;
/// How much of the newest records is kept in memory: a detector that keeps up never reads a file.
const TAIL_BYTES_MAX: usize = 24 << 20;
/// An index with fewer groups is written at once; a larger one by a thread of its own.
const GROUPS_INLINE_MAX: usize = 500;
/// What the name of a file ends with until it is whole.
const TEMPORARY_ENDING: &str = ".tmp";
/// How many groups one call of `search` looks at, so that no question holds a thread for long.
const SEARCH_GROUPS_MAX: usize = 2000;

/// How large the log grows.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The size of a segment in bytes.
    pub segment_bytes: u64,
    /// Segments are removed, oldest first, while all together are larger than this.
    pub keep_bytes: u64,
    /// Segments are removed when their last record is older than this.
    pub keep_age: Duration,
}

impl Default for Settings {
    /// 14 days or 20 GiB, whichever comes first; segments of 64 MiB.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, keep_bytes: 20 << 30, keep_age: Duration::from_secs(14 * 86_400) }
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
    /// Opens the log in a folder, or begins one. A torn tail is cut, what is damaged is counted; only a folder that
    /// cannot be read, or that a later version wrote, is an error.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] and [`LogError::Newer`].
    pub fn open(files: Arc<dyn Files>, settings: Settings) -> Result<Self, LogError> {
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
                    let opened = open_segment(files.as_ref(), &mut state, first, next)?;
                    (tag, is_clean) = (opened.tag.or(tag), opened.is_clean);
                }
            }
        }
        let is_begun = state.active.as_ref().is_some_and(begins_whole);
        if tag.is_none() || !is_begun {
            tag = recall(files.as_ref(), &firsts, &mut state.marks)?.or(tag);
        }
        // Behind a torn tail, what is left of it could be taken for frames: such a segment is not written again.
        let offset = state.active.as_ref().map(|it| it.bytes).filter(|_| is_clean && is_begun);
        let salt = state.active.as_ref().map(|it| it.salt).unwrap_or_default();
        let log = Self {
            tag: tag.unwrap_or_else(new_tag),
            files,
            settings,
            writer: Mutex::new(Writer { framer: Framer::new(salt), frames: Vec::new(), offset }),
            state: Mutex::new(state),
            checked: Mutex::default(),
            sealing: Mutex::default(),
            grown: Condvar::new(),
        };
        Ok(log)
    }

    /// Looks at every byte of the log without changing it.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] and [`LogError::Newer`].
    pub fn check(files: &dyn Files) -> Result<Damage, LogError> {
        let mut names = files.list().map_err(io_error("list", "events"))?;
        names.sort();
        let firsts: Vec<Sequence> = names.iter().filter_map(|it| first_of_name(it)).collect();
        let mut damage = Damage::default();
        for (at, &first) in firsts.iter().enumerate() {
            let next = firsts.get(at + 1).copied();
            let walked = walk_segment(files, first, next, |_| {})?;
            let index = files.open(&index_name_of(first)).ok();
            if index.is_some_and(|it| IndexFile::open(it).is_none_or(|it| !it.is_whole())) {
                damage.damaged_places += 1;
                damage
                    .findings
                    .push(format!("`{}`: the index is damaged and will be built anew", index_name_of(first)));
            }
            if let Some(next) = next
                && walked.1.end < next.0
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
        Ok(damage)
    }

    /// Seals the newest segment and goes on in a new one.
    fn roll(&self, writer: &mut Writer, now: Timestamp) -> Result<(), LogError> {
        self.seal();
        // If the new segment cannot be made, the next append tries again.
        writer.offset = None;
        let (first, marks) = {
            let state = locked(&self.state);
            (Sequence(state.end), state.marks.clone())
        };
        let name = name_of(first);
        let file: Arc<dyn File> =
            Arc::from(self.files.create(&name, self.settings.segment_bytes).map_err(io_error("create", &name))?);
        let salt = new_salt();
        let head = SegmentHead { first, tag: self.tag, made: now, salt };
        writer.framer.salt = salt;
        let mut block = Block::default();
        marks.iter().for_each(|(key, value)| block.push_mark(key, value));
        writer.frames.clear();
        writer.frames.extend_from_slice(&head.encode());
        if !block.is_empty() {
            writer.framer.frame(&mut writer.frames, &block.bytes, block.count, first, now);
        }
        let made = file.write_at(&writer.frames, 0).and_then(|()| file.sync()).and_then(|()| self.files.sync_folder());
        if let Err(error) = made {
            // The same number gives the same name, so what is left of this try is overwritten by the next.
            let _ = self.files.remove(&name);
            return Err(io_error("write", &name)(error));
        }
        let bytes = writer.frames.len() as u64;
        let mut state = locked(&self.state);
        state.active = Some(Active { first, file, index: Index::default(), appended: now, bytes, salt });
        if !block.is_empty() {
            self.publish(
                &mut state,
                segment::HEAD_BYTES as u64,
                &writer.frames[segment::HEAD_BYTES..],
                &[(block.count, block.bytes)],
                now,
            );
        }
        writer.offset = Some(bytes);
        Ok(())
    }

    /// Writes the index of the newest segment beside it; without one it is built anew at the next start.
    fn seal(&self) {
        let Some((mut active, bytes)) = ({
            let mut state = locked(&self.state);
            // A segment that got no frame is made again under the same name.
            state.active.take().filter(|it| !it.index.groups.is_empty()).map(|it| {
                let summary = it.index.summary(it.appended);
                let (first, bytes, salt) = (it.first, it.bytes, it.salt);
                state.sealed.push(Sealed { first, summary, bytes, salt });
                (it, bytes)
            })
        }) else {
            return;
        };
        // The rest of the reserved room is given back.
        let _ = active.file.set_len(bytes);
        if active.index.groups.len() < GROUPS_INLINE_MAX {
            write_index(self.files.as_ref(), active.first, &active.index.encode(active.appended));
            return;
        }
        // Sorting and syncing a large index takes longer than anybody should wait for an append.
        let (files, first) = (self.files.clone(), active.first);
        let write = move || write_index(files.as_ref(), first, &active.index.encode(active.appended));
        // Without a thread the index is built anew where it is asked for.
        if let Ok(thread) = thread::Builder::new().name("index".into()).spawn(write) {
            locked(&self.sealing).insert(first, thread);
        }
    }

    /// Waits for the index of a segment that is being written.
    fn await_index(&self, first: Sequence) {
        let writing = locked(&self.sealing).remove(&first);
        // A thread that panicked has written nothing: the index is built anew.
        let _ = writing.map(thread::JoinHandle::join);
    }

    /// Makes synced frames visible: index, tail, end, marks.
    fn publish(&self, state: &mut State, mut offset: u64, frames: &[u8], parts: &[(u32, Vec<u8>)], now: Timestamp) {
        let salt = state.active.as_ref().map(|it| it.salt).unwrap_or_default();
        let mut rest = frames;
        for (count, raw) in parts {
            let Some(head) = frame::check(rest, salt) else { break };
            let block = ReadBlock::new(head.first, *count, Arc::from(raw.as_slice()));
            for record in block.records(Position::START) {
                take_mark(&mut state.marks, &record);
            }
            if let Some(active) = &mut state.active {
                active.index.add(offset, &head, &block);
                active.appended = now;
                active.bytes = offset + head.frame_bytes() as u64;
            }
            state.end = block.next().0;
            state.tail_bytes += block.len();
            state.tail.push_back(block);
            offset += head.frame_bytes() as u64;
            rest = &rest[head.frame_bytes()..];
        }
        while TAIL_BYTES_MAX < state.tail_bytes && 1 < state.tail.len() {
            state.tail_bytes -= state.tail.pop_front().map_or(0, |it| it.len());
        }
        self.grown.notify_all();
    }

    /// Removes the segments that are too old or too many, as far as detection has read them.
    fn retain(&self, now: Timestamp) {
        let mut removed = Vec::new();
        {
            let mut state = locked(&self.state);
            loop {
                let total: u64 = state.sealed.iter().map(|it| it.bytes).sum::<u64>()
                    + state.active.as_ref().map_or(0, |it| it.bytes);
                let Some(oldest) = state.sealed.first().copied() else { break };
                let is_old = self.settings.keep_age < now.since(oldest.summary.appended);
                if state.released < oldest.summary.end || !(is_old || self.settings.keep_bytes < total) {
                    break;
                }
                removed.push(state.sealed.remove(0).first);
            }
        }
        for first in removed {
            self.await_index(first);
            // What cannot be removed now is found again at the next start.
            let _ = self.files.remove(&name_of(first));
            let _ = self.files.remove(&index_name_of(first));
        }
    }

    /// Returns the segment that holds `sequence`, or else the next one: its first number, and its file when it is the
    /// newest.
    fn read_from_files(&self, from: Position) -> Result<ReadBlock, LogError> {
        let mut from = from;
        loop {
            let Some(place) = self.place_of(from)? else { return Ok(empty_at(from)) };
            let name = name_of(place.first);
            let blocks = match &place.group {
                Some(group) => read_group(place.file.as_ref(), group, place.salt).map_err(io_error("read", &name))?,
                None => Vec::new(),
            };
            if let Some(block) = blocks.into_iter().find(|it| from < it.next()) {
                return Ok(block);
            }
            // Damage took what should be here: go on behind it.
            from = Position(place.group.map_or(place.end, |it| it.end().max(from.0 + 1)));
        }
    }

    fn place_of(&self, from: Position) -> Result<Option<Place>, LogError> {
        let (first, end, salt) = {
            let state = locked(&self.state);
            if let Some(active) = &state.active
                && active.first.0 <= from.0
            {
                let group = active
                    .index
                    .group_of(Sequence(from.0))
                    .and_then(|it| active.index.groups.get(it as usize))
                    .copied();
                return Ok((from.0 < state.end).then(|| Place {
                    first: active.first,
                    file: active.file.clone(),
                    group,
                    end: state.end,
                    salt: active.salt,
                }));
            }
            let Some(sealed) = state.sealed.iter().find(|it| from.0 < it.summary.end) else { return Ok(None) };
            (sealed.first, sealed.summary.end, sealed.salt)
        };
        let from = Position(from.0.max(first.0));
        let file = self.file_of(first)?;
        let group = match self.index_of(first)? {
            Some(index) => index_group(first, &index, |it| it.group_of(Sequence(from.0)))?,
            None => None,
        };
        Ok(Some(Place { first, file, group, end, salt }))
    }

    /// Opens the index of a full segment; builds it anew when it is lost. `None` when retention took the segment.
    fn index_of(&self, first: Sequence) -> Result<Option<IndexFile>, LogError> {
        self.await_index(first);
        let name = index_name_of(first);
        let Some(end) = self.end_of(first) else { return Ok(None) };
        let is_checked = locked(&self.checked).contains(&first);
        let index = self.files.open(&name).ok().and_then(IndexFile::open).filter(|it| it.summary.end == end);
        if let Some(index) = index.filter(|it| is_checked || it.is_whole()) {
            locked(&self.checked).insert(first);
            return Ok(Some(index));
        }
        let mut walked = match walk_segment(self.files.as_ref(), first, Some(Sequence(end)), |_| {}) {
            Ok((_, walked)) => walked,
            Err(_) if self.end_of(first).is_none() => return Ok(None),
            Err(error) => return Err(error),
        };
        let content = walked.index.encode(walked.appended);
        // Of two that build it, one writes it.
        let mut checked = locked(&self.checked);
        write_index(self.files.as_ref(), first, &content);
        checked.insert(first);
        Ok(IndexFile::open(Box::new(Memory(content))))
    }

    /// The number behind the last record of a full segment, while it is there.
    fn end_of(&self, first: Sequence) -> Option<u64> {
        locked(&self.state).sealed.iter().find(|it| it.first == first).map(|it| it.summary.end)
    }

    /// The candidate groups of a search in one segment, newest first.
    fn candidates(&self, at: SegmentPlace, search: &Search) -> Result<Vec<Group>, LogError> {
        let wanted = |it: &Group| {
            search.from.is_none_or(|from| from <= it.latest)
                && search.to.is_none_or(|to| it.earliest < to)
                && search.before.is_none_or(|before| it.first < before)
                && it.earliest <= it.latest
        };
        let mut groups: Vec<Group> = match at {
            SegmentPlace::Active => {
                let state = locked(&self.state);
                let Some(active) = &state.active else { return Ok(Vec::new()) };
                match &search.entity {
                    Some(entity) => active
                        .index
                        .groups_of(entity)
                        .iter()
                        .filter_map(|it| active.index.groups.get(*it as usize))
                        .copied()
                        .collect(),
                    None => active.index.groups.clone(),
                }
            }
            SegmentPlace::Sealed(first) => {
                let Some(index) = self.index_of(first)? else { return Ok(Vec::new()) };
                index_groups(first, &index, search.entity.as_deref())?
            }
        };
        groups.retain(wanted);
        groups.sort_by_key(|it| std::cmp::Reverse(it.first));
        groups.dedup();
        Ok(groups)
    }

    fn segments_newest_first(&self) -> Vec<(SegmentPlace, Sequence, Summary)> {
        let state = locked(&self.state);
        let active = state.active.as_ref().map(|it| (SegmentPlace::Active, it.first, it.index.summary(it.appended)));
        let sealed = state.sealed.iter().rev().map(|it| (SegmentPlace::Sealed(it.first), it.first, it.summary));
        active.into_iter().chain(sealed).collect()
    }

    /// Reads the records of a group of a segment.
    fn blocks_of(&self, first: Sequence, file: &dyn File, group: &Group) -> Result<Vec<ReadBlock>, LogError> {
        let salt = {
            let state = locked(&self.state);
            let active = state.active.as_ref().filter(|it| it.first == first).map(|it| it.salt);
            active.or_else(|| state.sealed.iter().find(|it| it.first == first).map(|it| it.salt))
        };
        // A segment that retention took meanwhile has nothing to tell.
        let Some(salt) = salt else { return Ok(Vec::new()) };
        read_group(file, group, salt).map_err(io_error("read", &name_of(first)))
    }

    fn file_of(&self, first: Sequence) -> Result<Arc<dyn File>, LogError> {
        if let Some(active) = &locked(&self.state).active
            && active.first == first
        {
            return Ok(active.file.clone());
        }
        let name = name_of(first);
        self.files.open(&name).map(Arc::from).map_err(io_error("open", &name))
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

/// Reads the group that `which` names of an index.
fn index_group(
    first: Sequence,
    index: &IndexFile,
    which: impl FnOnce(&IndexFile) -> io::Result<Option<u32>>,
) -> Result<Option<Group>, LogError> {
    let read = || which(index)?.map_or(Ok(None), |it| index.group(it));
    read().map_err(io_error("read", &index_name_of(first)))
}

/// Reads the groups of an index that may hold events of `entity`, or all.
fn index_groups(first: Sequence, index: &IndexFile, entity: Option<&str>) -> Result<Vec<Group>, LogError> {
    let read = || {
        let numbers = match entity {
            Some(entity) => index.groups_of(entity)?,
            None => (0..index.group_count()).collect(),
        };
        let groups: io::Result<Vec<_>> = numbers.into_iter().map(|it| index.group(it)).collect();
        Ok(groups?.into_iter().flatten().collect())
    };
    read().map_err(io_error("read", &index_name_of(first)))
}

/// Writes the index of a full segment. When that fails it is built anew where it is asked for.
fn write_index(files: &dyn Files, first: Sequence, content: &[u8]) {
    let name = index_name_of(first);
    let temporary = format!("{name}{TEMPORARY_ENDING}");
    let written = files.create(&temporary, 0).and_then(|file| {
        file.write_at(content, 0)?;
        file.sync()
    });
    if written.and_then(|()| files.rename(&temporary, &name)).is_err() {
        let _ = files.remove(&temporary);
    }
}

#[derive(Clone, Copy)]
enum SegmentPlace {
    Active,
    Sealed(Sequence),
}

struct Place {
    first: Sequence,
    file: Arc<dyn File>,
    group: Option<Group>,
    end: u64,
    salt: Salt,
}

fn empty_at(position: Position) -> ReadBlock {
    ReadBlock::new(Sequence(position.0), 0, Arc::from([]))
}

fn new_salt() -> Salt {
    let mut bytes = [0; 4];
    // Without randomness there is no salt: a frame that somebody wrote into an event may be taken for one behind damage.
    let _ = getrandom::fill(&mut bytes);
    Salt(u32::from_le_bytes(bytes))
}

fn new_tag() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the tag is 0, and ids by construction are those of another log without it: not unsafe, only ambiguous.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn take_mark(marks: &mut BTreeMap<String, Vec<u8>>, record: &Record<'_>) {
    if record.kind != RecordKind::Mark {
        return;
    }
    let Some(at) = record.bytes.iter().position(|it| *it == 0) else { return };
    let Ok(key) = std::str::from_utf8(&record.bytes[..at]) else { return };
    marks.insert(key.to_owned(), record.bytes[at + 1..].to_vec());
}

/// Gives the events that have none an id, by their place.
fn name_events(bytes: &mut [u8], tag: u64, first: Sequence) {
    let (mut at, mut number) = (0, first.0);
    while at < bytes.len() {
        let kind = bytes[at];
        let Some((length, after)) = take_varint(&bytes[at + 1..]) else { break };
        let start = bytes.len() - after.len();
        let end = start + length as usize;
        let record = &mut bytes[start..end];
        if kind == RecordKind::Event as u8
            && record.get(1).is_some_and(|it| !EventFlags(*it).has(EventFlags::REPEATABLE))
        {
            set_id(record, EventId::of_place(tag, number));
        }
        (at, number) = (end, number + 1);
    }
}

/// Splits records into parts of about [`FRAME_BYTES`].
fn split(bytes: &[u8], count: u32) -> Vec<(u32, Vec<u8>)> {
    if bytes.len() <= FRAME_BYTES {
        return vec![(count, bytes.to_vec())];
    }
    let (mut parts, mut start, mut at, mut records) = (Vec::new(), 0, 0, 0);
    while at < bytes.len() {
        let Some((length, after)) = take_varint(&bytes[at + 1..]) else { break };
        at = bytes.len() - after.len() + length as usize;
        records += 1;
        if FRAME_BYTES <= at - start || at == bytes.len() {
            parts.push((records, bytes[start..at].to_vec()));
            (start, records) = (at, 0);
        }
    }
    parts
}

impl Log for EmbeddedLog {
    fn partitions(&self) -> u32 {
        1
    }

    fn tag(&self) -> u64 {
        self.tag
    }

    fn append(&self, _partition: PartitionId, block: &mut Block, now: Timestamp) -> Result<Sequence, LogError> {
        let mut writer = locked(&self.writer);
        if block.is_empty() {
            return Ok(Sequence(locked(&self.state).end));
        }
        let is_full = writer.offset.is_none_or(|it| self.settings.segment_bytes < it + block.len() as u64);
        if is_full {
            // First: what retention gives back may be the room that the new segment needs.
            self.retain(now);
            self.roll(&mut writer, now)?;
            self.retain(now);
        }
        let Writer { framer, frames, offset } = &mut *writer;
        let (file, first) = {
            let state = locked(&self.state);
            let Some(active) = &state.active else { return Err(LogError::Full(io::ErrorKind::StorageFull.into())) };
            (active.file.clone(), Sequence(state.end))
        };
        name_events(&mut block.bytes, self.tag, first);
        let parts = split(&block.bytes, block.count);
        frames.clear();
        let mut number = first.0;
        for (count, raw) in &parts {
            framer.frame(frames, raw, *count, Sequence(number), now);
            number += u64::from(*count);
        }
        let at = offset.unwrap_or(segment::HEAD_BYTES as u64);
        failpoint::visit("log.before_write");
        let written = file.write_at(frames, at).and_then(|()| {
            failpoint::visit("log.before_sync");
            file.sync()
        });
        if let Err(error) = written {
            *offset = None;
            let name = locked(&self.state).active.as_ref().map(|it| name_of(it.first)).unwrap_or_default();
            return Err(io_error("write", &name)(error));
        }
        failpoint::visit("log.after_sync");
        *offset = Some(at + frames.len() as u64);
        self.publish(&mut locked(&self.state), at, frames, &parts, now);
        Ok(first)
    }

    fn end(&self, _partition: PartitionId) -> Position {
        Position(locked(&self.state).end)
    }

    fn start(&self, _partition: PartitionId) -> Position {
        let state = locked(&self.state);
        let first = state.sealed.first().map(|it| it.first).or(state.active.as_ref().map(|it| it.first));
        Position(first.map_or(state.end, |it| it.0))
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
        let has_id = |it: &Record<'_>| {
            it.kind == RecordKind::Event && EventView::of(it.bytes).is_some_and(|event| event.id == id)
        };
        if id.upper() == self.tag {
            let sequence = Sequence(id.lower());
            let block = self.read(PartitionId(0), Position(sequence.0))?;
            if let Some(found) = block.record(sequence).filter(has_id) {
                return Ok(Some((sequence, found.bytes.to_vec())));
            }
        }
        for (place, first, _) in self.segments_newest_first() {
            let group = match place {
                SegmentPlace::Active => {
                    let state = locked(&self.state);
                    let index = state.active.as_ref().map(|it| &it.index);
                    index
                        .and_then(|it| {
                            it.ids
                                .iter()
                                .rev()
                                .find(|found| found.0 == id)
                                .and_then(|found| it.groups.get(found.1 as usize))
                        })
                        .copied()
                }
                SegmentPlace::Sealed(first) => match self.index_of(first)? {
                    Some(index) => index_group(first, &index, |it| it.group_of_id(id))?,
                    None => None,
                },
            };
            let Some(group) = group else { continue };
            let blocks = self.blocks_of(first, &*self.file_of(first)?, &group)?;
            for block in &blocks {
                if let Some(found) = block.records(Position::START).find(has_id) {
                    return Ok(Some((found.sequence, found.bytes.to_vec())));
                }
            }
        }
        Ok(None)
    }

    fn search(&self, search: &Search) -> Result<Page, LogError> {
        let mut page = Page::default();
        let mut looked_at = 0;
        for (place, first, summary) in self.segments_newest_first() {
            let is_outside = search.before.is_some_and(|it| it <= first)
                || search.from.is_some_and(|it| summary.latest < it)
                || search.to.is_some_and(|it| it <= summary.earliest);
            if is_outside {
                continue;
            }
            let mut file = None;
            for group in self.candidates(place, search)? {
                if SEARCH_GROUPS_MAX <= looked_at {
                    page.next = Some(Sequence(group.end()));
                    return Ok(page);
                }
                looked_at += 1;
                let file = match &file {
                    Some(file) => file,
                    None => file.insert(self.file_of(first)?),
                };
                let blocks = self.blocks_of(first, file.as_ref(), &group)?;
                for block in blocks.iter().rev() {
                    let records: Vec<_> = block.records(Position::START).collect();
                    for record in records.iter().rev() {
                        let is_before = search.before.is_none_or(|it| record.sequence < it);
                        let holds = || EventView::of(record.bytes).is_some_and(|it| search.holds(&it));
                        if record.kind != RecordKind::Event || !is_before || !holds() {
                            continue;
                        }
                        if page.events.len() == search.limit {
                            page.next = page.events.last().map(|it| it.0);
                            return Ok(page);
                        }
                        page.events.push((record.sequence, record.bytes.to_vec()));
                    }
                }
            }
        }
        Ok(page)
    }

    fn repeatable_ids(&self, max: usize, see: &mut dyn FnMut(EventId)) -> Result<(), LogError> {
        let (active, sealed) = {
            let state = locked(&self.state);
            let active: Vec<EventId> = state.active.iter().flat_map(|it| it.index.ids.iter().map(|id| id.0)).collect();
            (active, state.sealed.iter().map(|it| it.first).collect::<Vec<_>>())
        };
        let mut missing = max.saturating_sub(active.len());
        let mut older = Vec::new();
        for first in sealed.into_iter().rev() {
            if missing == 0 {
                break;
            }
            let Some(index) = self.index_of(first)? else { continue };
            missing = missing.saturating_sub(index.id_count() as usize);
            older.push((first, index));
        }
        for (first, index) in older.iter().rev() {
            index.for_each_id(&mut *see).map_err(io_error("read", &index_name_of(*first)))?;
        }
        active.into_iter().for_each(see);
        Ok(())
    }

    fn specials(&self, see: &mut dyn FnMut(Record<'_>) -> bool) -> Result<(), LogError> {
        for (place, first, _) in self.segments_newest_first() {
            let mut groups: Vec<Group> = match place {
                SegmentPlace::Active => {
                    locked(&self.state).active.as_ref().map(|it| it.index.groups.clone()).unwrap_or_default()
                }
                SegmentPlace::Sealed(first) => match self.index_of(first)? {
                    Some(index) => index_groups(first, &index, None)?,
                    None => continue,
                },
            };
            groups.retain(|it| it.has_specials);
            for group in groups.iter().rev() {
                let blocks = self.blocks_of(first, &*self.file_of(first)?, group)?;
                for block in blocks.iter().rev() {
                    let records: Vec<_> = block.records(Position::START).collect();
                    for record in records.into_iter().rev() {
                        let is_special =
                            !matches!(record.kind, RecordKind::Event | RecordKind::Mark | RecordKind::Tick);
                        if is_special && !see(record) {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &tempfile::TempDir) -> EmbeddedLog {
        let settings = Settings { segment_bytes: 64 << 10, ..Settings::default() };
        EmbeddedLog::open(Arc::new(files::Folder::new(folder.path().to_owned())), settings).unwrap()
    }

    fn event(number: u128) -> Block {
        let mut event = Vec::new();
        model::event::EventWriter::new(&mut event, EventId(number), Timestamp(1), None, EventFlags::REPEATABLE)
            .client_ip([192, 0, 2, 1].into());
        let mut block = Block::default();
        block.push(RecordKind::Event, &event);
        block
    }

    #[test]
    fn what_a_crash_left_of_indexes_is_removed_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let orphans = ["00000000000000000007.idx", "00000000000000000000.idx.tmp", "url.tmp"];
        orphans.iter().for_each(|it| std::fs::write(folder.path().join(it), "x").unwrap());
        std::fs::write(folder.path().join("README"), "of somebody").unwrap();
        open(&folder);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["README"]);
    }

    #[test]
    fn a_segment_that_cannot_be_read_is_an_error_and_no_empty_answer() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(&folder);
        let mut number = 0;
        while locked(&log.state).sealed.is_empty() {
            log.append(PartitionId(0), &mut event(number), Timestamp(1)).unwrap();
            number += 1;
        }
        let search = Search { limit: 10, before: Some(Sequence(10)), ..Search::default() };
        assert_eq!(log.search(&search).unwrap().events.len(), 10);
        assert!(log.find(EventId(3)).unwrap().is_some());
        // Neither the segment nor its index is there any more, though nobody took them off the list.
        for name in [name_of(Sequence(0)), index_name_of(Sequence(0))] {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        assert!(log.search(&search).is_err() && log.find(EventId(3)).is_err());
    }

    /// A frame in an event, as somebody would send it who hopes that it is found behind damage.
    #[test]
    fn a_frame_in_an_event_is_no_frame_behind_damage() {
        let mut forged = Vec::new();
        Framer::default().frame(&mut forged, &event(666).bytes, 1, Sequence(100), Timestamp(1));
        let mut aligned = 0;
        for padding in 0..frame::ALIGN {
            let folder = tempfile::tempdir().unwrap();
            let mut block = Block::default();
            block.push(RecordKind::Quarantined, &[vec![0; padding], forged.clone()].concat());
            open(&folder).append(PartitionId(0), &mut block, Timestamp(1)).unwrap();
            // The magic of the only real frame is damaged, so what is behind it is searched.
            let path = folder.path().join(name_of(Sequence(0)));
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[segment::HEAD_BYTES] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let is_frame = |at: usize| frame::check(&bytes[at..], Salt::default()).is_some();
            aligned += usize::from((segment::HEAD_BYTES..bytes.len()).step_by(frame::ALIGN).any(is_frame));
            let log = open(&folder);
            assert_eq!(log.end(PartitionId(0)), Position(0));
            assert!(log.find(EventId(666)).unwrap().is_none());
        }
        assert_eq!(aligned, 1, "without a salt one of them would be taken for a frame");
    }

    #[test]
    fn a_segment_whose_head_is_lost_is_read_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(&folder);
        for number in 0..5 {
            log.append(PartitionId(0), &mut event(number), Timestamp(1)).unwrap();
        }
        drop(log);
        let path = folder.path().join(name_of(Sequence(0)));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[..segment::HEAD_BYTES].fill(0xff);
        std::fs::write(&path, &bytes).unwrap();
        let log = open(&folder);
        assert_eq!((log.end(PartitionId(0)), log.damage().records_lost), (Position(5), 0));
        assert!(log.find(EventId(4)).unwrap().is_some());
    }

    super::super::conformance::suite!(|folder| super::open(folder));
}
