//! The reading half: from a place on, through the indexes of the segments.

use std::io;
use std::sync::Arc;

use model::place::{Position, Sequence};

use super::super::{LogError, ReadBlock, Search};
use super::files::{File, Memory};
use super::frame::Salt;
use super::group::PackedGroup;
use super::index::{Group, IndexFile, Summary};
use super::recover::walk_segment;
use super::segment::{Bounds, index_name_of, name_of};
use super::write::write_index;
use super::{EmbeddedLog, io_error, locked};

/// Where the records of a segment are looked up.
#[derive(Clone, Copy)]
pub(super) enum SegmentPlace {
    /// In the index in memory: it is the newest.
    Active,
    /// In the index file of the segment with this first number.
    Sealed(Sequence),
}

/// Where a record is found.
struct Place {
    first: Sequence,
    file: Arc<dyn File>,
    group: Option<Group>,
    end: u64,
    salt: Salt,
}

pub(super) fn empty_at(position: Position) -> ReadBlock {
    ReadBlock::new(Sequence(position.0), 0, Arc::from([]))
}

impl EmbeddedLog {
    /// Reads the block that holds `from`, or the next one where damage took it; an empty one at the end.
    pub(super) fn read_from_files(&self, from: Position) -> Result<ReadBlock, LogError> {
        if let Some(block) = self.groups.block_at(from) {
            return Ok(block);
        }
        let mut from = from;
        loop {
            let Some(place) = self.place_of(from)? else { return Ok(empty_at(from)) };
            let name = name_of(place.first);
            if let Some(group) = &place.group {
                let read = self.groups.load(place.file.as_ref(), group, place.salt, from);
                if let Some(block) = read.map_err(io_error("read", &name))? {
                    return Ok(block);
                }
            }
            // Damage took what should be here: go on behind it.
            from = Position(place.group.map_or(place.end, |it| it.end()));
        }
    }

    /// Finds the group of frames that holds `from`, or else the next one, in the segment that holds it or else the next;
    /// `None` at the end.
    fn place_of(&self, from: Position) -> Result<Option<Place>, LogError> {
        let (first, end, salt) = {
            let state = locked(&self.state);
            let sealed = state.sealed.iter().find(|it| from.0 < it.summary.end);
            match (sealed, &state.active) {
                (Some(sealed), _) => (sealed.first, sealed.summary.end, sealed.salt),
                (None, Some(active)) if from.0 < state.end => {
                    let group = active.index.group_from(from).and_then(|it| active.index.groups.get(it as usize));
                    return Ok(Some(Place {
                        first: active.first,
                        file: active.file.clone(),
                        group: group.copied(),
                        end: state.end,
                        salt: active.salt,
                    }));
                }
                _ => return Ok(None),
            }
        };
        let file = self.file_of(first)?;
        let group = match self.index_of(first)? {
            Some(index) => index_group(first, &index, |it| it.group_from(from))?,
            None => None,
        };
        Ok(Some(Place { first, file, group, end, salt }))
    }

    /// Opens the index of a full segment; builds it anew when it is lost. `None` when retention took the segment.
    pub(super) fn index_of(&self, first: Sequence) -> Result<Option<IndexFile>, LogError> {
        self.await_index(first);
        let name = index_name_of(first);
        let Some(end) = self.end_of(first) else { return Ok(None) };
        let is_checked = locked(&self.checked).contains(&first);
        let index = self.files.open(&name).ok().and_then(IndexFile::open).filter(|it| it.summary.end == end);
        if let Some(index) = index.filter(|it| is_checked || it.is_whole()) {
            locked(&self.checked).insert(first);
            return Ok(Some(index));
        }
        let mut walked = match walk_segment(
            self.files.as_ref(),
            first,
            Bounds { limit: Some(Sequence(end)), ..Bounds::default() },
            |_| {},
        ) {
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
    pub(super) fn candidates(&self, at: SegmentPlace, search: &Search) -> Result<Vec<Group>, LogError> {
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

    /// Every segment with its first number and what it holds.
    pub(super) fn segments_newest_first(&self) -> Vec<(SegmentPlace, Sequence, Summary)> {
        let state = locked(&self.state);
        let active = state.active.as_ref().map(|it| (SegmentPlace::Active, it.first, it.index.summary(it.appended)));
        let sealed = state.sealed.iter().rev().map(|it| (SegmentPlace::Sealed(it.first), it.first, it.summary));
        active.into_iter().chain(sealed).collect()
    }

    /// Reads a group of a segment.
    pub(super) fn packed(&self, first: Sequence, file: &dyn File, group: &Group) -> Result<PackedGroup, LogError> {
        let salt = {
            let state = locked(&self.state);
            let active = state.active.as_ref().filter(|it| it.first == first).map(|it| it.salt);
            active.or_else(|| state.sealed.iter().find(|it| it.first == first).map(|it| it.salt))
        };
        // A segment that retention took meanwhile has nothing to tell.
        let mut packed = PackedGroup::default();
        if let Some(salt) = salt {
            packed.load(file, group, salt).map_err(io_error("read", &name_of(first)))?;
        }
        Ok(packed)
    }

    pub(super) fn file_of(&self, first: Sequence) -> Result<Arc<dyn File>, LogError> {
        if let Some(active) = &locked(&self.state).active
            && active.first == first
        {
            return Ok(active.file.clone());
        }
        let name = name_of(first);
        self.files.open(&name).map(Arc::from).map_err(io_error("open", &name))
    }
}

/// Reads the group that `which` names of an index.
pub(super) fn index_group(
    first: Sequence,
    index: &IndexFile,
    which: impl FnOnce(&IndexFile) -> io::Result<Option<u32>>,
) -> Result<Option<Group>, LogError> {
    let read = || which(index)?.map_or(Ok(None), |it| index.group(it));
    read().map_err(io_error("read", &index_name_of(first)))
}

/// Reads the groups of an index that may hold events of `entity`, or all.
pub(super) fn index_groups(first: Sequence, index: &IndexFile, entity: Option<&str>) -> Result<Vec<Group>, LogError> {
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
