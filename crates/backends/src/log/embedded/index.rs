//! The index of a segment: where its groups of records are, and which ids and entities are in which.
//!
//! A group is some frames in a row, small enough to unpack for one event. The index of the newest segment is built
//! while it is written; a full segment has its index beside it in a file, and a lost or damaged one is built anew.

use std::collections::HashSet;
use std::io;

use model::event::{EventFlags, EventView};
use model::id::EventId;
use model::place::{Position, Sequence};
use model::time::Timestamp;

use super::files::{File, read_whole};
use super::frame::Head;
use crate::log::{ReadBlock, RecordKind, names_of};

const MAGIC: &[u8; 8] = b"BZINDEX1";
/// Frames are put into one group until it has this many records.
const GROUP_RECORDS: u32 = 256;
/// Frames are put into one group until it has this many bytes.
const GROUP_BYTES: u64 = 64 << 10;
const HEAD_BYTES: usize = 56;
const GROUP_BYTES_ENCODED: usize = 45;
const ID_BYTES: usize = 20;
const ENTITY_BYTES: usize = 8;

/// Some frames in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it takes there.
    pub bytes: u64,
    /// The number of its first record.
    pub first: Sequence,
    /// How many records.
    pub count: u32,
    /// The earliest time of its events; later than `latest` when there are none.
    pub earliest: Timestamp,
    /// The latest time of its events.
    pub latest: Timestamp,
    /// Whether it holds records that are looked for by kind.
    pub has_specials: bool,
}

impl Group {
    /// The number behind its last record.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.first.0 + self.count as u64
    }
}

/// Which ids and entities are in which group of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The groups, in order.
    pub groups: Vec<Group>,
    /// The ids that may be repeated, with their groups, in the order of the log.
    pub ids: Vec<(EventId, u32)>,
    /// Hashes of entities with their groups.
    entities: Vec<(u32, u32)>,
    in_group: HashSet<u32>,
}

impl Index {
    /// Takes in a frame that lies at `offset`; `block` holds its records.
    pub fn add(&mut self, offset: u64, head: &Head, block: &ReadBlock) {
        let frame_bytes = head.frame_bytes() as u64;
        let is_full = |it: &Group| {
            GROUP_RECORDS <= it.count
                || GROUP_BYTES <= it.bytes
                || it.offset + it.bytes != offset
                || it.end() != head.first.0
        };
        if self.groups.last().is_none_or(is_full) {
            self.in_group.clear();
            self.groups.push(Group {
                offset,
                bytes: 0,
                first: head.first,
                count: 0,
                earliest: Timestamp(i64::MAX),
                latest: Timestamp(i64::MIN),
                has_specials: false,
            });
        }
        let number = self.groups.len() as u32 - 1;
        let mut group = self.groups[number as usize];
        group.bytes += frame_bytes;
        group.count += head.count;
        for record in block.records(Default::default()) {
            match record.kind {
                RecordKind::Event => {
                    let Some(event) = EventView::of(record.bytes) else { continue };
                    group.earliest = group.earliest.min(event.time);
                    group.latest = group.latest.max(event.time);
                    self.add_event(&event, number);
                }
                RecordKind::Mark | RecordKind::Tick => {}
                _ => group.has_specials = true,
            }
        }
        self.groups[number as usize] = group;
    }

    fn add_event(&mut self, event: &EventView<'_>, group: u32) {
        if event.flags.has(EventFlags::REPEATABLE) {
            self.ids.push((event.id, group));
        }
        for name in names_of(event) {
            let hash = hash_of(&name);
            if self.in_group.insert(hash) {
                self.entities.push((hash, group));
            }
        }
    }

    /// Returns the groups that may hold events of `entity`, in order.
    #[must_use]
    pub fn groups_of(&self, entity: &str) -> Vec<u32> {
        let hash = hash_of(entity);
        self.entities.iter().filter(|it| it.0 == hash).map(|it| it.1).collect()
    }

    /// Returns the number of the group that holds what is at `from`, or else the next one.
    #[must_use]
    pub fn group_from(&self, from: Position) -> Option<u32> {
        let behind = self.groups.partition_point(|it| it.end() <= from.0);
        (behind < self.groups.len()).then_some(behind as u32)
    }

    /// What the groups say together; `appended` is when the last frame was.
    #[must_use]
    pub fn summary(&self, appended: Timestamp) -> Summary {
        Summary {
            end: self.groups.last().map_or(0, Group::end),
            earliest: self.groups.iter().map(|it| it.earliest).min().unwrap_or_default(),
            latest: self.groups.iter().map(|it| it.latest).max().unwrap_or_default(),
            appended,
        }
    }

    /// Encodes the index of a full segment; sorts what is searched in the file.
    pub fn encode(&mut self, appended: Timestamp) -> Vec<u8> {
        self.entities.sort_unstable();
        self.ids.sort_unstable();
        self.in_group = HashSet::new();
        let summary = self.summary(appended);
        let mut out = Vec::with_capacity(
            HEAD_BYTES
                + self.groups.len() * GROUP_BYTES_ENCODED
                + self.ids.len() * ID_BYTES
                + self.entities.len() * ENTITY_BYTES,
        );
        out.extend_from_slice(MAGIC);
        for long in [summary.end, summary.earliest.0 as u64, summary.latest.0 as u64, summary.appended.0 as u64] {
            out.extend_from_slice(&long.to_le_bytes());
        }
        for count in [self.groups.len(), self.ids.len(), self.entities.len()] {
            out.extend_from_slice(&(count as u32).to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        self.groups.iter().for_each(|it| it.encode(&mut out));
        for (id, group) in &self.ids {
            out.extend_from_slice(&id.0.to_be_bytes());
            out.extend_from_slice(&group.to_le_bytes());
        }
        for (hash, group) in &self.entities {
            out.extend_from_slice(&hash.to_be_bytes());
            out.extend_from_slice(&group.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }
}

/// What a segment holds, in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number behind its last record.
    pub end: u64,
    /// The earliest time of its events.
    pub earliest: Timestamp,
    /// The latest time of its events.
    pub latest: Timestamp,
    /// When its last frame was appended.
    pub appended: Timestamp,
}

/// The index of a full segment, read in place: nothing of it is kept in memory but its head.
pub struct IndexFile {
    file: Box<dyn File>,
    /// What the segment holds.
    pub summary: Summary,
    groups: u32,
    ids: u32,
    entities: u32,
}

impl IndexFile {
    /// Reads the head of an index; `None` when it is damaged.
    #[must_use]
    pub fn open(file: Box<dyn File>) -> Option<Self> {
        let head = read_exact::<HEAD_BYTES>(file.as_ref(), 0).ok()?;
        let (content, crc) = head.split_at(HEAD_BYTES - 4);
        if crc32c::crc32c(content) != u32::from_le_bytes(crc.try_into().ok()?) {
            return None;
        }
        let content = content.strip_prefix(MAGIC)?;
        let long = |at: usize| content[at * 8..at * 8 + 8].try_into().map_or(0, u64::from_le_bytes);
        let word = |at: usize| content[32 + at * 4..36 + at * 4].try_into().map_or(0, u32::from_le_bytes);
        let summary = Summary {
            end: long(0),
            earliest: Timestamp(long(1) as i64),
            latest: Timestamp(long(2) as i64),
            appended: Timestamp(long(3) as i64),
        };
        let found = Self { summary, groups: word(0), ids: word(1), entities: word(2), file };
        (found.file.len().ok()? == found.entities_at() + u64::from(found.entities) * ENTITY_BYTES as u64 + 4)
            .then_some(found)
    }

    /// Whether the checksum over all of it holds.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Ok(bytes) = read_whole(self.file.as_ref()) else { return false };
        let Some((content, crc)) = bytes.split_last_chunk::<4>() else { return false };
        crc32c::crc32c(content) == u32::from_le_bytes(*crc)
    }

    /// How many groups there are.
    #[must_use]
    pub const fn group_count(&self) -> u32 {
        self.groups
    }

    /// Reads a group; `None` behind the last.
    ///
    /// # Errors
    ///
    /// What the system says, or that the file is shorter than its head says.
    pub fn group(&self, number: u32) -> io::Result<Option<Group>> {
        if self.groups <= number {
            return Ok(None);
        }
        let bytes = read_exact::<GROUP_BYTES_ENCODED>(
            self.file.as_ref(),
            HEAD_BYTES as u64 + u64::from(number) * GROUP_BYTES_ENCODED as u64,
        )?;
        Ok(Group::decode(&bytes))
    }

    /// The number of the group that holds a record.
    ///
    /// # Errors
    ///
    /// What the system says, or that the file is shorter than its head says.
    pub fn group_from(&self, from: Position) -> io::Result<Option<u32>> {
        let is_before = |it: u32| Ok(self.group(it)?.is_some_and(|group| group.end() <= from.0));
        let behind = partition_point(self.groups, is_before)?;
        Ok((behind < self.groups).then_some(behind))
    }

    /// The group that holds the event with an id.
    ///
    /// # Errors
    ///
    /// What the system says, or that the file is shorter than its head says.
    pub fn group_of_id(&self, id: EventId) -> io::Result<Option<u32>> {
        let at = self.ids_at();
        let read = |it: u32| read_exact::<ID_BYTES>(self.file.as_ref(), at + u64::from(it) * ID_BYTES as u64);
        let key = id.0.to_be_bytes();
        let found = partition_point(self.ids, |it| Ok(read(it)?[..16] < key[..]))?;
        if self.ids <= found {
            return Ok(None);
        }
        let bytes = read(found)?;
        Ok((bytes[..16] == key).then(|| group_number(&bytes[16..])))
    }

    /// The groups that may hold events of an entity, in order.
    ///
    /// # Errors
    ///
    /// What the system says, or that the file is shorter than its head says.
    pub fn groups_of(&self, entity: &str) -> io::Result<Vec<u32>> {
        let at = self.entities_at();
        let read = |it: u32| read_exact::<ENTITY_BYTES>(self.file.as_ref(), at + u64::from(it) * ENTITY_BYTES as u64);
        let key = hash_of(entity).to_be_bytes();
        let mut number = partition_point(self.entities, |it| Ok(read(it)?[..4] < key[..]))?;
        let mut found = Vec::new();
        while number < self.entities {
            let bytes = read(number)?;
            if bytes[..4] != key {
                break;
            }
            found.push(group_number(&bytes[4..]));
            number += 1;
        }
        Ok(found)
    }

    /// Calls `see` for every id.
    ///
    /// # Errors
    ///
    /// What the system says, or that the file is shorter than its head says.
    pub fn for_each_id(&self, mut see: impl FnMut(EventId)) -> io::Result<()> {
        let mut bytes = vec![0; self.ids as usize * ID_BYTES];
        let read = self.file.read_at(&mut bytes, self.ids_at())?;
        for id in bytes[..read].chunks_exact(ID_BYTES) {
            see(EventId(id[..16].try_into().map_or(0, u128::from_be_bytes)));
        }
        if read < bytes.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// How many ids there are.
    #[must_use]
    pub const fn id_count(&self) -> u32 {
        self.ids
    }

    fn ids_at(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.groups) * GROUP_BYTES_ENCODED as u64
    }

    fn entities_at(&self) -> u64 {
        self.ids_at() + u64::from(self.ids) * ID_BYTES as u64
    }
}

impl Group {
    fn encode(&self, out: &mut Vec<u8>) {
        for long in [self.offset, self.bytes, self.first.0, self.earliest.0 as u64, self.latest.0 as u64] {
            out.extend_from_slice(&long.to_le_bytes());
        }
        out.extend_from_slice(&self.count.to_le_bytes());
        out.push(u8::from(self.has_specials));
    }

    fn decode(bytes: &[u8; GROUP_BYTES_ENCODED]) -> Option<Self> {
        let long = |at: usize| bytes[at * 8..at * 8 + 8].try_into().map(u64::from_le_bytes).ok();
        Some(Self {
            offset: long(0)?,
            bytes: long(1)?,
            first: Sequence(long(2)?),
            earliest: Timestamp(long(3)? as i64),
            latest: Timestamp(long(4)? as i64),
            count: group_number(&bytes[40..44]),
            has_specials: bytes[44] == 1,
        })
    }
}

fn group_number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

fn read_exact<const N: usize>(file: &dyn File, offset: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    if file.read_at(&mut bytes, offset)? < N {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// The first of `0..count` for which `is_before` does not hold; it holds for a front part.
fn partition_point(count: u32, is_before: impl Fn(u32) -> io::Result<bool>) -> io::Result<u32> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle)? { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// Hashes the name of an entity. It is on disk, so it never changes; what it finds is checked against the events.
fn hash_of(name: &str) -> u32 {
    crc32c::crc32c(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use model::event::EventWriter;

    use super::*;
    use crate::log::Block;
    use crate::log::embedded::frame::{Framer, Salt, check};

    fn indexed(frames: u64) -> Index {
        let (mut index, mut offset) = (Index::default(), 64);
        for number in 0..frames {
            let mut event = Vec::new();
            EventWriter::new(
                &mut event,
                EventId(u128::from(number)),
                Timestamp(number as i64),
                None,
                EventFlags::REPEATABLE,
            )
            .client_ip([10, 0, (number >> 8) as u8, number as u8].into());
            let mut block = Block::default();
            block.push(RecordKind::Event, &event);
            let mut frame = Vec::new();
            Framer::default().frame(&mut frame, &block.bytes, 1, Sequence(number), Timestamp(0));
            let head = check(&frame, Salt::default()).unwrap();
            index.add(offset, &head, &ReadBlock::new(Sequence(number), 1, block.bytes.into()));
            offset += frame.len() as u64;
        }
        index
    }

    fn written(bytes: &[u8]) -> Option<IndexFile> {
        let file = tempfile::tempfile().unwrap();
        File::write_at(&file, bytes, 0).unwrap();
        IndexFile::open(Box::new(file))
    }

    #[test]
    fn the_file_finds_what_memory_finds() {
        let mut index = indexed(1000);
        let file = written(&index.encode(Timestamp(5))).unwrap();
        assert!(file.is_whole());
        assert_eq!(
            file.summary,
            Summary { end: 1000, earliest: Timestamp(0), latest: Timestamp(999), appended: Timestamp(5) }
        );
        let groups: Vec<_> = (0..file.group_count()).map(|it| file.group(it).unwrap().unwrap()).collect();
        assert_eq!(groups, index.groups);
        assert_eq!(groups.len(), 4);
        for number in [0_u64, 255, 256, 700, 999] {
            let entity = format!("10.0.{}.{}", number >> 8, number & 255);
            assert_eq!(file.groups_of(&entity).unwrap(), index.groups_of(&entity), "{entity}");
            assert_eq!(index.group_from(Position(number)), Some(number as u32 / 256));
            assert_eq!(file.group_from(Position(number)).unwrap(), index.group_from(Position(number)));
            assert_eq!(file.group_of_id(EventId(u128::from(number))).unwrap(), index.group_from(Position(number)));
        }
        assert_eq!((file.group_from(Position(1000)).unwrap(), index.group_from(Position(1000))), (None, None));
        assert_eq!(file.groups_of("10.9.9.9").unwrap(), [] as [u32; 0]);
        assert_eq!(file.group_of_id(EventId(1000)).unwrap(), None);
        let mut ids = Vec::new();
        file.for_each_id(|it| ids.push(it)).unwrap();
        assert_eq!(ids.len(), 1000);
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = indexed(10).encode(Timestamp(0));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(written(&damaged).is_none_or(|it| !it.is_whole()), "{at}");
            assert!(written(&bytes[..at]).is_none(), "{at}");
        }
    }
}
