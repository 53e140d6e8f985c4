//! Looking events and other records up: by id, by entity and time, by kind.

use model::event::EventView;
use model::id::EventId;
use model::place::{PartitionId, Position, Sequence};

use super::super::{Log, LogError, Page, Record, RecordKind, Search};
use super::index::Group;
use super::read::{SegmentPlace, index_group, index_groups};
use super::segment::index_name_of;
use super::{EmbeddedLog, io_error, locked};

/// How many groups one call of `search` looks at, so that no question holds a thread for long.
const SEARCH_GROUPS_MAX: usize = 2000;

impl EmbeddedLog {
    /// Finds an event by its id; see [`Log::find`].
    pub(super) fn find_event(&self, id: EventId) -> Result<Option<(Sequence, Vec<u8>)>, LogError> {
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
            let mut packed = self.packed(first, &*self.file_of(first)?, &group)?;
            for block in packed.blocks_newest_first() {
                if let Some(found) = block.records(Position::START).find(has_id) {
                    return Ok(Some((found.sequence, found.bytes.to_vec())));
                }
            }
        }
        Ok(None)
    }

    /// Finds a page of events; see [`Log::search`].
    pub(super) fn page_of(&self, search: &Search) -> Result<Page, LogError> {
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
                for block in self.packed(first, file.as_ref(), &group)?.blocks_newest_first() {
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

    /// Goes back by whole groups until `records` records are behind `from`; numbers do not tell in a log with gaps.
    pub(super) fn count_back(&self, from: Position, records: u64) -> Result<Position, LogError> {
        let (mut at, mut counted) = (from, 0);
        for (place, first, _) in self.segments_newest_first() {
            if from.0 <= first.0 {
                continue;
            }
            for group in self.candidates(place, &Search::default())?.into_iter().filter(|it| it.first.0 < from.0) {
                if records <= counted {
                    return Ok(at);
                }
                counted += u64::from(group.count);
                at = Position(group.first.0);
            }
        }
        Ok(at)
    }

    /// Tells the ids that may come again; see [`Log::repeatable_ids`].
    pub(super) fn each_repeatable_id(&self, max: usize, see: &mut dyn FnMut(EventId)) -> Result<(), LogError> {
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

    /// Tells the records that are no events, newest first; see [`Log::specials`].
    pub(super) fn each_special(&self, see: &mut dyn FnMut(Record<'_>) -> bool) -> Result<(), LogError> {
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
                for block in self.packed(first, &*self.file_of(first)?, group)?.blocks_newest_first() {
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
}
