//! How the log is found at a start: what each segment holds, what of it is damaged, and what a crash left beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::event::{EventFlags, EventView};
use model::place::{Position, Sequence};
use model::time::Timestamp;

use super::files::Files;
use super::frame;
use super::index::{IndexFile, Summary};
use super::segment::{self, Bounds, SegmentHead, Walk, index_name_of, name_of, read_file, walk};
use super::write::take_mark;
use super::{Active, Sealed, State, TEMPORARY_ENDING, io_error};
use crate::log::{Damage, LogError, ReadBlock, RecordKind};

/// Removes what a crash left of an index, and the indexes of segments that are gone.
pub(super) fn remove_orphans(files: &dyn Files, names: &[String], firsts: &[Sequence]) {
    let is_known = |name: &str| firsts.iter().any(|it| index_name_of(*it) == name);
    for name in names {
        if name.ends_with(TEMPORARY_ENDING) || (name.ends_with(".idx") && !is_known(name)) {
            // What cannot be removed now does no harm, and is found again at the next start.
            let _ = files.remove(name);
        }
    }
}

/// Reads what the index of a full segment says. One that ends elsewhere than the segment was written before its last
/// frames, by a process that crashed while it went on to the next.
pub(super) fn summary_of(files: &dyn Files, first: Sequence, next: Sequence) -> Option<Sealed> {
    let index = IndexFile::open(files.open(&index_name_of(first)).ok()?).filter(|it| it.summary.end == next.0)?;
    let name = name_of(first);
    let file = files.open(&name).ok()?;
    let mut head = [0; segment::HEAD_BYTES];
    file.read_at(&mut head, 0).ok()?;
    // Without its head, and with it the salt, the segment is walked over.
    let salt = SegmentHead::decode(&head, &name).ok()??.salt;
    Some(Sealed { first, summary: index.summary, bytes: file.len().ok()?, salt })
}

pub(super) fn add_damage(to: &mut Damage, more: Damage) {
    to.torn_bytes += more.torn_bytes;
    to.damaged_places += more.damaged_places;
    to.records_lost += more.records_lost;
    to.findings.extend(more.findings);
}

/// Takes in that the log ends before what was synced: what is behind its end is damage and no torn tail.
pub(super) fn add_lost_tail(damage: &mut Damage, end: u64, synced: Position) {
    if synced.0 <= end {
        return;
    }
    damage.torn_bytes = 0;
    damage.damaged_places += 1;
    damage.records_lost += synced.0 - end;
    damage.findings.push(format!(
        "records {end} to {} are lost: they were acknowledged, and detection had read them",
        synced.0 - 1
    ));
}

/// Walks over a segment; a damaged head is made up for by the name of the file.
pub(super) fn walk_segment(
    files: &dyn Files,
    first: Sequence,
    bounds: Bounds,
    mut see: impl FnMut(&ReadBlock),
) -> Result<(Option<u64>, Walk), LogError> {
    let name = name_of(first);
    let (_, bytes) = read_file(files, &name)?;
    let decoded = SegmentHead::decode(&bytes, &name)?;
    let head = decoded.unwrap_or_else(|| {
        let salt = bytes.get(segment::HEAD_BYTES..).and_then(frame::salt_of).unwrap_or_default();
        SegmentHead { first, tag: 0, made: Timestamp::default(), salt }
    });
    let mut walked = walk(&bytes, &head, &name, bounds, |_, block| see(block));
    if decoded.is_none() {
        add_lost_head(&mut walked, &bytes, &name, bounds.limit);
    }
    Ok((decoded.map(|it| it.tag), walked))
}

/// Says that the head of a segment is lost. The newest one without a frame was never finished.
fn add_lost_head(walked: &mut Walk, bytes: &[u8], name: &str, next: Option<Sequence>) {
    let Some(last) = bytes.iter().rposition(|it| *it != 0) else { return };
    if next.is_none() && walked.index.groups.is_empty() {
        walked.damage.torn_bytes = last as u64 + 1;
        return;
    }
    walked.damage.damaged_places += 1;
    walked.damage.findings.push(format!("`{name}`: the head cannot be read"));
}

/// Whether the frame that a segment was begun with can be read.
pub(super) fn begins_whole(active: &Active) -> bool {
    active.index.groups.first().is_some_and(|it| it.offset == segment::HEAD_BYTES as u64)
}

/// Finds tag and marks in the older segments, for a newest one whose beginning a crash or damage took.
pub(super) fn recall(
    files: &dyn Files,
    firsts: &[Sequence],
    marks: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Option<u64>, LogError> {
    for pair in firsts.windows(2).rev() {
        let mut older = BTreeMap::new();
        let mut tag_of_events = None;
        let (tag, walked) =
            walk_segment(files, pair[0], Bounds { limit: Some(pair[1]), ..Bounds::default() }, |block| {
                block.records(Position::START).for_each(|it| take_mark(&mut older, &it));
                tag_of_events = tag_of(block).or(tag_of_events);
            })?;
        if !walked.index.groups.is_empty() {
            older.append(marks);
            *marks = older;
            return Ok(tag.or(tag_of_events));
        }
    }
    Ok(None)
}

/// The tag of the log, as the id of an event that got it here says.
fn tag_of(block: &ReadBlock) -> Option<u64> {
    let events = block.records(Position::START).filter(|it| it.kind == RecordKind::Event);
    let mut named = events.filter_map(|it| EventView::of(it.bytes));
    named.find(|it| !it.flags.has(EventFlags::REPEATABLE)).map(|it| it.id.upper())
}

/// What opening a segment told.
pub(super) struct OpenedSegment {
    pub(super) tag: Option<u64>,
    /// Whether it may be written on.
    pub(super) is_clean: bool,
}

/// Takes in a segment without an index: the newest one, or one whose index is lost.
pub(super) fn open_segment(
    files: &dyn Files,
    state: &mut State,
    first: Sequence,
    bounds: Bounds,
) -> Result<OpenedSegment, LogError> {
    // Every segment begins with all marks, so those of the one before are not needed.
    let mut marks = BTreeMap::new();
    let mut tag_of_events = None;
    let (tag, walked) = walk_segment(files, first, bounds, |block| {
        block.records(Position::START).for_each(|it| take_mark(&mut marks, &it));
        tag_of_events = tag_of(block).or(tag_of_events);
    })?;
    state.marks = marks;
    let opened = OpenedSegment {
        tag: tag.or(tag_of_events),
        is_clean: tag.is_some() && walked.damage.is_healthy() && walked.damage.torn_bytes == 0,
    };
    add_damage(&mut state.damage, walked.damage);
    let name = name_of(first);
    let file = files.open(&name).map_err(io_error("open", &name))?;
    if bounds.limit.is_some() {
        let bytes = file.len().map_err(io_error("read", &name))?;
        let summary = Summary { end: walked.end, ..walked.index.summary(walked.appended) };
        state.sealed.push(Sealed { first, summary, bytes, salt: walked.salt });
    } else {
        state.end = walked.end;
        state.active = Some(Active {
            first,
            file: Arc::from(file),
            index: walked.index,
            appended: walked.appended,
            bytes: walked.end_offset,
            salt: walked.salt,
        });
    }
    Ok(opened)
}
