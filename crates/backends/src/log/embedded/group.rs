//! Reading a group: its bytes once, its frames one at a time.
//!
//! A group may hold hundreds of mebibytes unpacked. So it stays packed, whoever reads on finds it in the
//! [`GroupCache`], and only the frame that is asked for is unpacked.

use std::io;
use std::sync::Mutex;

use model::place::Position;

use super::files::File;
use super::frame::{Head, Salt, Unpacker};
use super::index::Group;
use super::locked;
use super::segment::find_frame;
use crate::log::ReadBlock;

/// How many groups stay in memory, packed: one each for detection, for the evidence of its alerts, and for two who read
/// beside it. A group is at most 64 KiB and a frame.
const GROUPS_KEPT: usize = 4;

/// The frames of a group, packed, with the context to unpack them.
#[derive(Default)]
pub(super) struct PackedGroup {
    bytes: Vec<u8>,
    /// Where each undamaged frame begins in `bytes`, in order.
    frames: Vec<(usize, Head)>,
    unpacker: Unpacker,
}

impl PackedGroup {
    /// Reads a group in place of what was held; what is damaged is passed over.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn load(&mut self, file: &dyn File, group: &Group, salt: Salt) -> io::Result<()> {
        self.frames.clear();
        self.bytes.clear();
        self.bytes.resize(usize::try_from(group.bytes).map_err(io::Error::other)?, 0);
        let read = file.read_at(&mut self.bytes, group.offset)?;
        let (mut at, mut end) = (0, group.first.0);
        while let Some((start, head)) = find_frame(&self.bytes[..read], at, end, salt) {
            at = start + head.frame_bytes();
            end = head.first.0 + u64::from(head.count);
            self.frames.push((start, head));
        }
        Ok(())
    }

    /// Unpacks the frame that holds `from`, or the next one where damage took it.
    pub(super) fn block_at(&mut self, from: Position) -> Option<ReadBlock> {
        let behind = self.frames.partition_point(|(_, head)| head.first.0 + u64::from(head.count) <= from.0);
        (behind..self.frames.len()).find_map(|it| self.unpack(it))
    }

    /// Unpacks one frame after the other, the last one first.
    pub(super) fn blocks_newest_first(&mut self) -> impl Iterator<Item = ReadBlock> {
        (0..self.frames.len()).rev().filter_map(|it| self.unpack(it))
    }

    fn unpack(&mut self, number: usize) -> Option<ReadBlock> {
        let (start, head) = self.frames[number];
        let raw = self.unpacker.unpack(&self.bytes[start..], &head)?;
        Some(ReadBlock::new(head.first, head.count, raw))
    }

    fn holds(&self, from: Position) -> bool {
        let first = self.frames.first().is_some_and(|(_, head)| head.first.0 <= from.0);
        first && self.frames.last().is_some_and(|(_, head)| from.0 < head.first.0 + u64::from(head.count))
    }
}

/// The groups that were read last, oldest first. What a log holds under a number never changes, so none goes stale.
#[derive(Default)]
pub(super) struct GroupCache(Mutex<Vec<PackedGroup>>);

impl GroupCache {
    /// Reads the block at `from` from a group that is held.
    pub(super) fn block_at(&self, from: Position) -> Option<ReadBlock> {
        let mut group = {
            let mut held = locked(&self.0);
            let at = held.iter().position(|it| it.holds(from))?;
            held.remove(at)
        };
        // Nobody waits while it is unpacked.
        let block = group.block_at(from);
        self.keep(group);
        block
    }

    /// Reads a group, then the block at `from` in it; `None` when damage took everything from there on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn load(
        &self,
        file: &dyn File,
        group: &Group,
        salt: Salt,
        from: Position,
    ) -> io::Result<Option<ReadBlock>> {
        let mut packed = {
            let mut held = locked(&self.0);
            if held.len() < GROUPS_KEPT { PackedGroup::default() } else { held.remove(0) }
        };
        packed.load(file, group, salt)?;
        let block = packed.block_at(from);
        self.keep(packed);
        Ok(block)
    }

    fn keep(&self, group: PackedGroup) {
        let mut held = locked(&self.0);
        if GROUPS_KEPT <= held.len() {
            held.remove(0);
        }
        held.push(group);
    }
}
