//! What a message of the broker holds: a block of records, packed, with who sent it and under which number.

use std::io;

use model::time::Timestamp;

/// The format that this version writes; every earlier one stays readable.
const MAGIC: &[u8; 4] = b"BZM1";
const HEAD_BYTES: usize = 56;
const CRC_BYTES: usize = 4;
/// As for the embedded log: the cost of packing decides.
const PACK_LEVEL: i32 = -1;
/// The longest block of a message, unpacked. Records are put into one message until it is half as long; one alone may be
/// longer than that.
pub const RAW_BYTES_MAX: usize = 256 << 20;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The tag of the log.
    pub tag: u64,
    /// The number of the process among those that took the log over, one after another.
    pub generation: u64,
    /// Who sent it: random, another for each start of a process.
    pub producer: u64,
    /// The number that its sender gave it; a message that comes again has the same.
    pub number: u64,
    /// When it was sent, by the clock of the sender.
    pub appended: Timestamp,
    /// How many records.
    pub count: u32,
    /// The records in the encoding of [`Block`](crate::log::Block).
    pub records: Vec<u8>,
}

impl Message {
    /// Encodes it.
    ///
    /// # Errors
    ///
    /// What the packer says.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let body = zstd::bulk::compress(&self.records, PACK_LEVEL)?;
        let mut out = Vec::with_capacity(HEAD_BYTES + body.len() + CRC_BYTES);
        out.extend_from_slice(MAGIC);
        for long in [self.tag, self.generation, self.producer, self.number, self.appended.0.cast_unsigned()] {
            out.extend_from_slice(&long.to_le_bytes());
        }
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&(self.records.len() as u64).to_le_bytes());
        out.extend_from_slice(&body);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        Ok(out)
    }

    /// Reads one; `None` when it is not one, or is damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
        let head = content.get(..HEAD_BYTES).filter(|it| it.starts_with(MAGIC))?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let long = |at: usize| head[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let count = head[44..48].try_into().map_or(0, u32::from_le_bytes);
        let raw_bytes = usize::try_from(long(48)).ok().filter(|it| *it <= RAW_BYTES_MAX)?;
        let records = zstd::bulk::decompress(&content[HEAD_BYTES..], raw_bytes).ok()?;
        (records.len() == raw_bytes).then_some(Self {
            tag: long(4),
            generation: long(12),
            producer: long(20),
            number: long(28),
            appended: Timestamp(long(36).cast_signed()),
            count,
            records,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(records: &[u8]) -> Message {
        Message {
            tag: 1,
            generation: 6,
            producer: 2,
            number: 3,
            appended: Timestamp(-4),
            count: 5,
            records: records.to_vec(),
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        for records in [&b""[..], b"a", &[7; 100_000]] {
            let message = message(records);
            assert_eq!(Message::decode(&message.encode().unwrap()), Some(message));
        }
    }

    #[test]
    fn what_is_damaged_or_something_else_is_not_read() {
        let whole = message(b"some records").encode().unwrap();
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x10;
            assert_eq!(Message::decode(&broken), None, "byte {at}");
            assert_eq!(Message::decode(&whole[..at]), None, "{at} bytes");
        }
        assert_eq!(Message::decode(b"{\"an\":\"event of somebody else, long enough to have a head\"}"), None);
    }
}
