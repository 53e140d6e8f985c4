//! The segment: one file of frames, named by the number of its first record.
//!
//! ```text
//! magic "BZLOG" 3 bytes 0 · format u32 · crc u32 · first number u64 · tag u64 · made at i64 · salt u32 · zeros to 64
//! frames until the end of what was written, then zeros or what a crash left
//! ```

use model::place::{Position, Sequence};
use model::time::Timestamp;

use super::files::{File, Files, read_whole};
use super::frame::{self, ALIGN, Head, Salt, Unpacker};
use super::index::Index;
use crate::log::{Damage, LogError, ReadBlock};

const MAGIC: &[u8; 8] = b"BZLOG\0\0\0";
/// The format that this version writes. Every earlier one stays readable; a fixture of each is kept.
pub const FORMAT: u32 = 2;
/// Where the first frame begins.
pub const HEAD_BYTES: usize = 64;
const NAME_DIGITS: usize = 20;

/// What the head of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// The number of the first record.
    pub first: Sequence,
    /// The tag of the log.
    pub tag: u64,
    /// When the segment was made.
    pub made: Timestamp,
    /// With which the checksums of its frames begin.
    pub salt: Salt,
}

impl SegmentHead {
    /// Encodes the head.
    #[must_use]
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.tag.to_le_bytes());
        out[32..40].copy_from_slice(&self.made.0.to_le_bytes());
        out[40..44].copy_from_slice(&self.salt.0.to_le_bytes());
        let crc = checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a head; `Ok(None)` when it is damaged.
    ///
    /// # Errors
    ///
    /// [`LogError::Newer`] for a format of a later version.
    pub fn decode(bytes: &[u8], file: &str) -> Result<Option<Self>, LogError> {
        let Some(head) = bytes.get(..HEAD_BYTES).filter(|it| it.starts_with(MAGIC)) else { return Ok(None) };
        let word = |at: usize| head[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        let long = |at: usize| head[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        if checksum(head) != word(12) {
            return Ok(None);
        }
        if FORMAT < word(8) {
            return Err(LogError::Newer { file: file.to_owned(), found: word(8), known: FORMAT });
        }
        // Format 1 has zeros there, which is no salt.
        let salt = Salt(word(40));
        Ok(Some(Self { first: Sequence(long(16)), tag: long(24), made: Timestamp(long(32) as i64), salt }))
    }
}

/// Covers the whole head but the checksum itself: a flipped bit of the format is damage and no later version.
fn checksum(head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..12]), &head[16..HEAD_BYTES])
}

/// The name of the segment whose first record has this number.
#[must_use]
pub fn name_of(first: Sequence) -> String {
    format!("{:0NAME_DIGITS$}.seg", first.0)
}

/// The name of its index.
#[must_use]
pub fn index_name_of(first: Sequence) -> String {
    format!("{:0NAME_DIGITS$}.idx", first.0)
}

/// The number in the name of a segment.
#[must_use]
pub fn first_of_name(name: &str) -> Option<Sequence> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == NAME_DIGITS).then(|| digits.parse().ok()).flatten().map(Sequence)
}

/// What a walk over a segment found.
#[derive(Debug, Default)]
pub struct Walk {
    /// The index of what can be read.
    pub index: Index,
    /// Where the next frame would go.
    pub end_offset: u64,
    /// The number that the next record would have.
    pub end: u64,
    /// When the last frame was appended.
    pub appended: Timestamp,
    /// What cannot be read.
    pub damage: Damage,
    /// The salt of its frames.
    pub salt: Salt,
}

/// What is known of a segment from elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// The first number of the next segment; what is behind it was never acknowledged and is passed over.
    pub limit: Option<Sequence>,
    /// Everything before this position was synced, as whoever read it says.
    pub synced: Position,
    /// Whether numbers may be left out without anything being lost.
    pub has_gaps: bool,
}

/// Walks over the frames of a segment, calling `see` for each.
pub fn walk(
    bytes: &[u8],
    head: &SegmentHead,
    name: &str,
    bounds: Bounds,
    mut see: impl FnMut(&Head, &ReadBlock),
) -> Walk {
    let (salt, end_offset) = (head.salt, HEAD_BYTES as u64);
    let mut found = Walk { end_offset, end: head.first.0, appended: head.made, salt, ..Walk::default() };
    let (mut at, mut unpacker) = (HEAD_BYTES, Unpacker::default());
    while at < bytes.len() {
        let Some((start, frame_head, block)) = next_frame(bytes, at, found.end, salt, &mut unpacker) else { break };
        if bounds.limit.is_some_and(|it| it <= frame_head.first) {
            break;
        }
        let missing = if bounds.has_gaps { 0 } else { frame_head.first.0 - found.end };
        let is_gap = at < start || 0 < missing;
        let is_known = bounds.limit.is_some() || frame_head.first.0 < bounds.synced.0;
        if is_gap && !is_known && frame_head.continues() && !begins_later(bytes, start, &frame_head, salt) {
            break;
        }
        if at < start {
            found.damage.damaged_places += 1;
            found.damage.findings.push(format!("`{name}`: {} bytes at offset {at} cannot be read", start - at));
        }
        if 0 < missing {
            found.damage.records_lost += missing;
            found
                .damage
                .findings
                .push(format!("`{name}`: {missing} records before number {} are lost", frame_head.first.0));
        }
        found.index.add(start as u64, &frame_head, &block);
        found.end = frame_head.first.0 + u64::from(frame_head.count);
        found.appended = frame_head.appended;
        see(&frame_head, &block);
        at = start + frame_head.frame_bytes();
        found.end_offset = at as u64;
    }
    found.damage.torn_bytes =
        bytes[at.min(bytes.len())..].iter().rposition(|it| *it != 0).map_or(0, |it| it as u64 + 1);
    found
}

/// Whether an append begins behind the frame at `start`.
///
/// Only then were the frames before it synced: without one, a frame that continues an append whose front is missing
/// is what a crash left of it, and nothing that was acknowledged.
fn begins_later(bytes: &[u8], start: usize, head: &Head, salt: Salt) -> bool {
    let (mut at, mut end) = (start + head.frame_bytes(), head.first.0 + u64::from(head.count));
    while let Some((start, head)) = find_frame(bytes, at, end, salt) {
        if !head.continues() {
            return true;
        }
        (at, end) = (start + head.frame_bytes(), head.first.0 + u64::from(head.count));
    }
    false
}

/// Finds the next undamaged frame at `at` or behind it whose numbers do not go back.
pub(super) fn find_frame(bytes: &[u8], at: usize, end: u64, salt: Salt) -> Option<(usize, Head)> {
    let mut start = at;
    while start + frame::HEAD_BYTES <= bytes.len() {
        if let Some(head) = frame::check(&bytes[start..], salt)
            && end <= head.first.0
        {
            return Some((start, head));
        }
        start += ALIGN;
        if bytes[start.min(bytes.len())..].iter().take(4096).all(|it| *it == 0) {
            start = skip_zeros(bytes, start);
        }
    }
    None
}

/// The same for one that can be unpacked, with its records.
fn next_frame(
    bytes: &[u8],
    at: usize,
    end: u64,
    salt: Salt,
    unpacker: &mut Unpacker,
) -> Option<(usize, Head, ReadBlock)> {
    let mut from = at;
    loop {
        let (start, head) = find_frame(bytes, from, end, salt)?;
        if let Some(raw) = unpacker.unpack(&bytes[start..], &head) {
            return Some((start, head, ReadBlock::new(head.first, head.count, raw)));
        }
        from = start + ALIGN;
    }
}

/// Skips whole zero words: most of a preallocated file is zeros.
fn skip_zeros(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at.min(bytes.len())..];
    rest.iter().position(|it| *it != 0).map_or(bytes.len(), |it| (at + it) / ALIGN * ALIGN)
}

/// Reads a whole segment file.
///
/// # Errors
///
/// [`LogError::Io`].
pub fn read_file(files: &dyn Files, name: &str) -> Result<(Box<dyn File>, Vec<u8>), LogError> {
    let io = |source| LogError::Io { action: "read", file: name.to_owned(), source };
    let file = files.open(name).map_err(io)?;
    let bytes = read_whole(file.as_ref()).map_err(io)?;
    Ok((file, bytes))
}
