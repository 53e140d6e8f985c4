//! The writing half: frames, segments, and what is removed of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::{io, thread};

use model::event::{EventFlags, set_id, take_varint};
use model::id::EventId;
use model::place::{Position, Sequence};
use model::time::Timestamp;

use super::super::{Block, LogError, ReadBlock, Record, RecordKind};
use super::files::{File, Files};
use super::frame::{self, Salt};
use super::index::Index;
use super::segment::{self, SegmentHead, index_name_of, name_of};
use super::{Active, EmbeddedLog, Sealed, State, TEMPORARY_ENDING, Writer, io_error, locked};
use crate::failpoint;

/// Blocks are framed in parts of about this many bytes: to look one event up, one of them is unpacked.
const FRAME_BYTES: usize = 128 << 10;
/// How much of the newest records is kept in memory: a detector that keeps up never reads a file.
const TAIL_BYTES_MAX: usize = 24 << 20;
/// An index with fewer groups is written at once; a larger one by a thread of its own.
const GROUPS_INLINE_MAX: usize = 500;

impl EmbeddedLog {
    /// Appends a block and syncs it; see [`Log::append`](super::super::Log::append). A copy is told which number
    /// comes next, which must not go back.
    pub(in crate::log) fn write(
        &self,
        at: Option<Sequence>,
        block: &mut Block,
        now: Timestamp,
    ) -> Result<Sequence, LogError> {
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
            (active.file.clone(), at.unwrap_or(Sequence(state.end)))
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
            if self.settings.is_copy { Ok(()) } else { file.sync() }
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
        // Whoever finds the index trusts the segment; without one it is walked over.
        if self.settings.is_copy && active.file.sync().is_err() {
            return;
        }
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
    pub(super) fn await_index(&self, first: Sequence) {
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
}

/// Writes the index of a full segment. When that fails it is built anew where it is asked for.
pub(super) fn write_index(files: &dyn Files, first: Sequence, content: &[u8]) {
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

fn new_salt() -> Salt {
    let mut bytes = [0; 4];
    // Without randomness there is no salt: a frame that somebody wrote into an event may be taken for one behind damage.
    let _ = getrandom::fill(&mut bytes);
    Salt(u32::from_le_bytes(bytes))
}

pub(super) fn take_mark(marks: &mut BTreeMap<String, Vec<u8>>, record: &Record<'_>) {
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
