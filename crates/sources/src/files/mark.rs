//! Where a file was read to, and which file that was.
//!
//! ```text
//! version u8 · flags u8 · device u64 · inode u64 · born u64 · generation u64 · offset u64 · length u16 · digest u128
//! ```
//! All little endian; `length` and `digest` are those of the [`Fingerprint`].

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::UNIX_EPOCH;

const VERSION: u8 = 1;
const FLAG_FINISHED: u8 = 1;
const ENCODED_BYTES: usize = 2 + 5 * 8 + 2 + 16;
/// How many bytes of its beginning tell a file from others: more than the first line of most logs, which has a time.
const FINGERPRINT_BYTES_MAX: usize = 256;

/// The beginning of a file: inodes are used again, and a file that is truncated keeps its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// How many bytes it is of; fewer than the most while the file is shorter.
    length: u16,
    digest: u128,
}

impl Fingerprint {
    /// Takes the fingerprint of a file as it is now.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Self::of_first(file, FINGERPRINT_BYTES_MAX)
    }

    /// Whether `file` still begins like this.
    pub(super) fn is_of(self, file: &File) -> io::Result<bool> {
        Ok(Self::of_first(file, usize::from(self.length))? == self)
    }

    /// Whether `stream` begins like this.
    pub(super) fn is_of_stream(self, stream: impl Read) -> io::Result<bool> {
        let mut head = Vec::with_capacity(FINGERPRINT_BYTES_MAX);
        stream.take(u64::from(self.length)).read_to_end(&mut head)?;
        Ok(Self::of_head(&head) == self)
    }

    fn of_first(file: &File, max: usize) -> io::Result<Self> {
        let mut head = [0; FINGERPRINT_BYTES_MAX];
        let length = read_at_most(file, &mut head[..max])?;
        Ok(Self::of_head(&head[..length]))
    }

    fn of_head(head: &[u8]) -> Self {
        let digest = if head.is_empty() { 0 } else { model::id::digest128(&[head]) };
        Self { length: head.len() as u16, digest }
    }
}

/// Reads from the beginning until `out` is full or the file ends; returns how much.
pub(super) fn read_at_most(file: &File, out: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match file.read_at(&mut out[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where a file was read to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// When the file was made, in nanoseconds since 1970; 0 where the file system does not say.
    pub(super) born: u64,
    pub(super) fingerprint: Fingerprint,
    /// Counts the files of one path: one more for each that is new or was truncated.
    pub(super) generation: u64,
    /// Where the first record begins that has not been taken.
    pub(super) offset: u64,
    /// Whether nothing more will come: a packed file was read to its end.
    pub(super) is_finished: bool,
}

impl Mark {
    /// Begins at the start of a file that is new to us.
    pub(super) fn at_start_of(metadata: &Metadata, generation: u64) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: born(metadata),
            fingerprint: Fingerprint::default(),
            generation,
            offset: 0,
            is_finished: false,
        }
    }

    /// Goes on in `file`, which holds the same bytes in another place or packed.
    pub(super) fn moved_to(self, file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let fingerprint = Fingerprint::of(file)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), born: born(&metadata), fingerprint, ..self })
    }

    /// Whether this is about `file`.
    ///
    /// The number of a device may change when a machine starts; with a fingerprint the inode is enough.
    pub(super) fn is_of(&self, file: &File) -> io::Result<bool> {
        let metadata = file.metadata()?;
        let is_same_device = self.device == metadata.dev() || 0 < self.fingerprint.length;
        let born = born(&metadata);
        let is_same_birth = self.born == born || self.born == 0 || born == 0;
        Ok(self.inode == metadata.ino() && is_same_device && is_same_birth && self.fingerprint.is_of(file)?)
    }

    /// What tells the file from others of the same name; stays the same as long as it is the same file.
    pub(super) fn file_id(&self, name: &str) -> String {
        format!("{name}#{:x}-{}", self.inode, self.generation)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENCODED_BYTES);
        out.extend_from_slice(&[VERSION, if self.is_finished { FLAG_FINISHED } else { 0 }]);
        for number in [self.device, self.inode, self.born, self.generation, self.offset] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.fingerprint.length.to_le_bytes());
        out.extend_from_slice(&self.fingerprint.digest.to_le_bytes());
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ENCODED_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let length = u16::from_le_bytes([bytes[42], bytes[43]]);
        if bytes[0] != VERSION || FINGERPRINT_BYTES_MAX < usize::from(length) {
            return None;
        }
        Some(Self {
            device: number(2)?,
            inode: number(10)?,
            born: number(18)?,
            generation: number(26)?,
            offset: number(34)?,
            fingerprint: Fingerprint { length, digest: u128::from_le_bytes(bytes[44..].try_into().ok()?) },
            is_finished: bytes[1] & FLAG_FINISHED != 0,
        })
    }
}

/// When a file was made, in nanoseconds since 1970; 0 where the file system does not say.
pub(super) fn born(metadata: &Metadata) -> u64 {
    let since = metadata.created().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_that_was_made_at_another_time_is_another() {
        let file = tempfile::tempfile().unwrap();
        let mark = Mark { born: 7, ..Mark::at_start_of(&file.metadata().unwrap(), 0) };
        let is_known = born(&file.metadata().unwrap()) != 0;
        assert_eq!(mark.is_of(&file).unwrap(), !is_known);
        assert!(Mark { born: 0, ..mark }.is_of(&file).unwrap());
    }

    #[test]
    fn a_fingerprint_holds_while_the_file_grows() {
        let mut file = tempfile::tempfile().unwrap();
        let nothing = Fingerprint::of(&file).unwrap();
        file.write_all(b"first line\n").unwrap();
        let short = Fingerprint::of(&file).unwrap();
        file.write_all(&[b'x'; 1000]).unwrap();
        let full = Fingerprint::of(&file).unwrap();
        assert_eq!((nothing.length, short.length, full.length), (0, 11, 256));
        for print in [nothing, short, full] {
            assert!(print.is_of(&file).unwrap());
        }
        file.set_len(20).unwrap();
        assert!(short.is_of(&file).unwrap() && !full.is_of(&file).unwrap());
        file.set_len(5).unwrap();
        assert!(!short.is_of(&file).unwrap());
    }

    #[test]
    fn the_device_may_change_where_there_is_a_fingerprint() {
        let mut file = tempfile::tempfile().unwrap();
        let mut mark = Mark::at_start_of(&file.metadata().unwrap(), 0);
        assert!(mark.is_of(&file).unwrap());
        mark.device += 1;
        assert!(!mark.is_of(&file).unwrap());
        file.write_all(b"a").unwrap();
        mark.fingerprint = Fingerprint::of(&file).unwrap();
        assert!(mark.is_of(&file).unwrap());
        mark.inode += 1;
        assert!(!mark.is_of(&file).unwrap());
    }

    proptest! {
        #[test]
        fn a_mark_is_read_back(numbers in any::<[u64; 5]>(), length in 0_u16..=256, digest in any::<u128>(), is_finished in any::<bool>()) {
            let [device, inode, born, generation, offset] = numbers;
            let mark = Mark { device, inode, born, generation, offset, fingerprint: Fingerprint { length, digest }, is_finished };
            prop_assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Mark::decode(&bytes);
        }
    }
}
