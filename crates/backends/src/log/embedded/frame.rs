//! The frame: what one write appends. Some records in a row, packed, with a checksum over all of it.
//!
//! ```text
//! magic u32 · body length u32 · raw length u32 · records u32 · first number u64 · appended at i64 · flags u32 · crc u32
//! body, padded with zeros to a multiple of 8
//! ```
//!
//! Little endian. The CRC32C (RFC 3720, appendix B.4) covers the head before it and the body, and begins with the salt
//! of the segment: who writes what looks like a frame into an event cannot know it, so that no search for frames behind
//! damage takes it for one.

use std::sync::Arc;

use model::place::Sequence;
use model::time::Timestamp;

const MAGIC: u32 = u32::from_le_bytes(*b"BZF1");

/// The size of a head in bytes.
pub const HEAD_BYTES: usize = 40;
/// Frames begin at multiples of this.
pub const ALIGN: usize = 8;
/// The longest body, packed or not. A block is split into frames below it.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Bodies shorter than this are not packed: it would not pay.
const PACK_FROM_BYTES: usize = 400;
/// zstd's fast side: the log is written once a record and read rarely, so the cost of packing decides.
const PACK_LEVEL: i32 = -1;
/// How much memory an [`Unpacker`] keeps: a frame is seldom longer.
const RAW_BYTES_KEPT: usize = 256 << 10;
const FLAG_PACKED: u32 = 1;
/// The frame before it belongs to the same append.
const FLAG_CONTINUES: u32 = 2;

/// The head of a frame, and where its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The length of the body in bytes.
    pub body_bytes: u32,
    /// The length of the records in bytes, unpacked.
    pub raw_bytes: u32,
    /// How many records.
    pub count: u32,
    /// The number of the first.
    pub first: Sequence,
    /// When it was appended, by the clock of the writer.
    pub appended: Timestamp,
    flags: u32,
}

impl Head {
    /// Whether the frame before it belongs to the same append: both were acknowledged, or neither.
    #[must_use]
    pub const fn continues(&self) -> bool {
        self.flags & FLAG_CONTINUES != 0
    }

    /// The size of the whole frame with its padding.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        (HEAD_BYTES + self.body_bytes as usize).next_multiple_of(ALIGN)
    }
}

/// Random bits with which the checksums of a segment begin; 0 in segments of format 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Salt(pub u32);

/// Packs and frames blocks; keeps the packer's memory from one to the next.
pub struct Framer {
    packer: Option<zstd::bulk::Compressor<'static>>,
    /// The salt of the segment that is written.
    pub salt: Salt,
}

impl Framer {
    /// Makes a framer for a segment with this salt.
    #[must_use]
    pub fn new(salt: Salt) -> Self {
        Self { packer: zstd::bulk::Compressor::new(PACK_LEVEL).ok(), salt }
    }

    /// Appends a frame of `count` records in `raw` to `out`. When something is in `out`, it continues that append.
    pub fn frame(&mut self, out: &mut Vec<u8>, raw: &[u8], count: u32, first: Sequence, appended: Timestamp) {
        debug_assert!(raw.len() <= BODY_BYTES_MAX);
        let packed = if raw.len() < PACK_FROM_BYTES { None } else { self.pack(raw) };
        let (body, flags) = packed.as_deref().map_or((raw, 0), |it| (it, FLAG_PACKED));
        let start = out.len();
        let flags = if start == 0 { flags } else { flags | FLAG_CONTINUES };
        for word in [MAGIC, body.len() as u32, raw.len() as u32, count] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&first.0.to_le_bytes());
        out.extend_from_slice(&appended.0.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        let crc = checksum(self.salt, &out[start..], body);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(body);
        out.resize(start + (HEAD_BYTES + body.len()).next_multiple_of(ALIGN), 0);
    }

    fn pack(&mut self, raw: &[u8]) -> Option<Vec<u8>> {
        let packed = self.packer.as_mut()?.compress(raw).ok()?;
        (packed.len() < raw.len()).then_some(packed)
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(Salt::default())
    }
}

fn checksum(salt: Salt, head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt.0, head), body)
}

/// Reads the head of the frame at the front of `bytes`, if a whole and undamaged frame of a segment with this salt is
/// there.
#[must_use]
pub fn check(bytes: &[u8], salt: Salt) -> Option<Head> {
    let (found, body, crc) = parse(bytes)?;
    (checksum(salt, &bytes[..HEAD_BYTES - 4], body) == crc).then_some(found)
}

/// Finds the salt with which the frame at the front of `bytes` is whole, for a segment whose head is lost.
///
/// Any bytes that look like a frame have one, so only the first frame of a segment may be asked.
#[must_use]
pub fn salt_of(bytes: &[u8]) -> Option<Salt> {
    let (_, body, crc) = parse(bytes)?;
    let of = |salt: u32| checksum(Salt(salt), &bytes[..HEAD_BYTES - 4], body);
    // For the same bytes the checksum is an affine function of the salt over the field of two elements: the salt solves
    // 32 equations. Each row is the change that some bits of the salt make, and those bits.
    let at_zero = of(0);
    let mut rows: [(u32, u32); 32] = [(0, 0); 32];
    let reduce = |rows: &[(u32, u32); 32], mut change: u32, mut bits: u32| {
        while change != 0 {
            let row = rows[change.ilog2() as usize];
            if row.0 == 0 {
                break;
            }
            (change, bits) = (change ^ row.0, bits ^ row.1);
        }
        (change, bits)
    };
    for bit in (0..32).map(|it| 1_u32 << it) {
        let (change, bits) = reduce(&rows, of(bit) ^ at_zero, bit);
        if change != 0 {
            rows[change.ilog2() as usize] = (change, bits);
        }
    }
    let (rest, salt) = reduce(&rows, crc ^ at_zero, 0);
    (rest == 0).then_some(Salt(salt))
}

/// Reads what looks like a frame: its head, its body and its checksum, which is not looked at.
fn parse(bytes: &[u8]) -> Option<(Head, &[u8], u32)> {
    let head = bytes.get(..HEAD_BYTES)?;
    let word = |at: usize| head[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let long = |at: usize| head[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    if word(0)? != MAGIC {
        return None;
    }
    let found = Head {
        body_bytes: word(4)?,
        raw_bytes: word(8)?,
        count: word(12)?,
        first: Sequence(long(16)?),
        appended: Timestamp(long(24)? as i64),
        flags: word(32)?,
    };
    let (body_bytes, raw_bytes) = (found.body_bytes as usize, found.raw_bytes as usize);
    if found.count == 0
        || found.first.0.checked_add(u64::from(found.count)).is_none()
        || BODY_BYTES_MAX < body_bytes
        || BODY_BYTES_MAX < raw_bytes
    {
        return None;
    }
    let body = bytes.get(HEAD_BYTES..HEAD_BYTES + body_bytes)?;
    Some((found, body, word(36)?))
}

/// Unpacks frames; keeps the memory that it needs for it from one to the next.
#[derive(Default)]
pub struct Unpacker {
    context: Option<zstd::bulk::Decompressor<'static>>,
    raw: Vec<u8>,
}

impl Unpacker {
    /// Returns the records of the checked frame at the front of `bytes`, unpacked; `None` when its packing is broken.
    #[must_use]
    pub fn unpack(&mut self, bytes: &[u8], head: &Head) -> Option<Arc<[u8]>> {
        #[cfg(test)]
        UNPACKED.with(|it| it.set(it.get() + 1));
        let body = bytes.get(HEAD_BYTES..HEAD_BYTES + head.body_bytes as usize)?;
        if head.flags & FLAG_PACKED == 0 {
            return Some(Arc::from(body));
        }
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(zstd::bulk::Decompressor::new().ok()?),
        };
        self.raw.clear();
        self.raw.reserve(head.raw_bytes as usize);
        let length = context.decompress_to_buffer(body, &mut self.raw).ok()?;
        let raw = (length == head.raw_bytes as usize).then(|| Arc::from(self.raw.as_slice()));
        self.raw.clear();
        self.raw.shrink_to(RAW_BYTES_KEPT);
        raw
    }
}

#[cfg(test)]
thread_local! {
    /// How many frames this thread has unpacked.
    pub(super) static UNPACKED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: Salt = Salt(0x5eed_1234);

    fn framed(raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Framer::new(SALT).frame(&mut out, raw, 3, Sequence(7), Timestamp(9));
        out
    }

    proptest! {
        #[test]
        fn what_was_framed_is_unpacked(raw in proptest::collection::vec(0_u8..4, 1..3000)) {
            let bytes = framed(&raw);
            let head = check(&bytes, SALT).unwrap();
            prop_assert_eq!((head.count, head.first, head.appended), (3, Sequence(7), Timestamp(9)));
            prop_assert_eq!(bytes.len(), head.frame_bytes());
            prop_assert_eq!(&*Unpacker::default().unpack(&bytes, &head).unwrap(), raw);
        }

        #[test]
        fn one_flipped_bit_is_noticed(raw in proptest::collection::vec(any::<u8>(), 1..600), at in any::<usize>(), bit in 0_u8..8) {
            let mut bytes = framed(&raw);
            let covered = HEAD_BYTES + check(&bytes, SALT).unwrap().body_bytes as usize;
            bytes[at % covered] ^= 1 << bit;
            prop_assert_eq!(check(&bytes, SALT), None);
        }

        #[test]
        fn a_lost_salt_is_found_and_no_other_will_do(raw in proptest::collection::vec(any::<u8>(), 1..600), salt in any::<u32>()) {
            let mut out = Vec::new();
            Framer::new(Salt(salt)).frame(&mut out, &raw, 1, Sequence(0), Timestamp(0));
            prop_assert_eq!(salt_of(&out), Some(Salt(salt)));
            prop_assert_eq!(check(&out, Salt(salt ^ 1)), None);
        }

        #[test]
        fn a_cut_frame_is_noticed(raw in proptest::collection::vec(any::<u8>(), 1..600), cut in any::<usize>()) {
            let bytes = framed(&raw);
            let covered = HEAD_BYTES + check(&bytes, SALT).unwrap().body_bytes as usize;
            prop_assert_eq!(check(&bytes[..cut % covered], SALT), None);
        }
    }
}
