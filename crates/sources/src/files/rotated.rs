//! The files that rotation put beside the one that is followed: which there are, and which of them come after another.
//!
//! Only names that rotation makes count: the followed name, a dot or a dash, a number or a date, and `.gz` or nothing.
//! What comes after what is told by the time a file was made; a packed one is as old as its last write, which packing
//! keeps.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::MultiGzDecoder;

use super::mark::{self, Fingerprint, Mark};

/// How many names of a folder are looked at for a file that was renamed: more than any rotation keeps.
const SIBLINGS_MAX: usize = 10_000;
const PACKED_ENDING: &[u8] = b".gz";

/// When a file was made and last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Age {
    /// In nanoseconds since 1970; 0 where the file system does not say.
    born: u64,
    written: SystemTime,
}

impl Age {
    /// The age of a file that is there.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { born: mark::born(metadata), written: metadata.modified().unwrap_or(UNIX_EPOCH) }
    }

    /// The age of a file that is gone, of which only the mark is left; `None` when it does not tell.
    pub(super) fn of_mark(mark: &Mark) -> Option<Self> {
        let written = UNIX_EPOCH + Duration::from_nanos(mark.born);
        (mark.born != 0).then_some(Self { born: mark.born, written })
    }
}

/// A file that rotation put beside the followed one.
#[derive(Clone, Debug)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    is_packed: bool,
    age: Age,
}

impl Rotated {
    /// Whether it was made after the file of this age.
    fn is_after(&self, other: Age) -> bool {
        let tells = !self.is_packed && self.age.born != 0 && other.born != 0 && self.age.born != other.born;
        if tells { other.born < self.age.born } else { other.written < self.age.written }
    }

    /// Whether the content begins like the file that `mark` is about, unpacked where it is packed.
    fn begins_like(&self, mark: &Mark) -> io::Result<bool> {
        let file = File::open(&self.path)?;
        if self.is_packed {
            return mark.fingerprint.is_of_stream(MultiGzDecoder::new(file));
        }
        Ok(mark.offset <= file.metadata()?.len() && mark.fingerprint.is_of(&file)?)
    }
}

/// The files beside `path` that rotation made.
pub(super) fn rotated(path: &Path) -> Vec<Rotated> {
    let Some(name) = path.file_name() else { return Vec::new() };
    let of = |path: PathBuf| {
        let rest = path.file_name()?.as_encoded_bytes().strip_prefix(name.as_encoded_bytes())?;
        let is_packed = is_rotation(rest)?;
        let metadata = fs::metadata(&path).ok().filter(Metadata::is_file)?;
        Some(Rotated { is_packed, age: Age::of(&metadata), path })
    };
    siblings(path).into_iter().filter_map(of).collect()
}

/// The next file after one of this age; packed ones count only where `may_be_packed`.
pub(super) fn next_after(path: &Path, age: Age, may_be_packed: bool) -> Option<PathBuf> {
    let mut later: Vec<Rotated> = rotated(path);
    later.retain(|it| (may_be_packed || !it.is_packed) && it.is_after(age));
    // A file and its packed copy are the same while it is being packed.
    let plain: Vec<PathBuf> = later.iter().filter(|it| !it.is_packed).map(|it| it.path.clone()).collect();
    later.retain(|it| !it.is_packed || !plain.contains(&it.path.with_extension("")));
    later.into_iter().min_by_key(|it| it.age.written).map(|it| it.path)
}

/// The one file beside `path` that begins like the file that `mark` is about: its copy, or it packed.
///
/// `None` when there are several, as where all files begin with the same lines: a guess could skip what was not read.
pub(super) fn copy_of(path: &Path, mark: &Mark) -> Option<PathBuf> {
    if mark.fingerprint == Fingerprint::default() {
        return None;
    }
    // One that cannot be read is not the one.
    let mut copies = rotated(path).into_iter().filter(|it| it.begins_like(mark).unwrap_or(false));
    copies.next().filter(|_| copies.next().is_none()).map(|it| it.path)
}

/// Whether this is what rotation puts behind a name, and if so whether it says that the file is packed.
fn is_rotation(rest: &[u8]) -> Option<bool> {
    let (rest, is_packed) = rest.strip_suffix(PACKED_ENDING).map_or((rest, false), |it| (it, true));
    let stamp = rest.strip_prefix(b".").or(rest.strip_prefix(b"-"))?;
    let is_part = |it: &u8| it.is_ascii_digit() || matches!(it, b'-' | b'_' | b':' | b'T');
    (stamp.first()?.is_ascii_digit() && stamp.iter().all(is_part)).then_some(is_packed)
}

/// The files beside `path` whose names are its own with something after a dot or a dash.
pub(super) fn siblings(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // A folder that cannot be listed has no siblings to offer.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_sibling = |it: &fs::DirEntry| {
        let other = it.file_name();
        let rest = other.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        rest.is_some_and(|it| matches!(it.first(), Some(b'.' | b'-')))
    };
    entries.take(SIBLINGS_MAX).flatten().filter(is_sibling).map(|it| it.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotation_are_told_from_others() {
        let check = |rest: &str, expected| assert_eq!(is_rotation(rest.as_bytes()), expected, "{rest}");
        for rest in [".1", ".12", "-20261120", "-20261120-1763600000", ".2026-11-20", ".2026-11-20T10:00"] {
            check(rest, Some(false));
            check(&format!("{rest}.gz"), Some(true));
        }
        for rest in ["", ".", ".gz", ".old", "-debug", ".1.bak", "1", ".1.gz.gz", ".-1"] {
            check(rest, None);
        }
    }

    #[test]
    fn the_time_of_making_decides_where_it_is_known() {
        let at = |secs| UNIX_EPOCH + Duration::from_secs(secs);
        let check = |is_packed, born, written, expected| {
            let it = Rotated { path: PathBuf::new(), is_packed, age: Age { born, written: at(written) } };
            assert_eq!(it.is_after(Age { born: 5, written: at(50) }), expected, "{it:?}");
        };
        check(false, 6, 40, true);
        check(false, 4, 60, false);
        check(false, 5, 50, false);
        check(false, 5, 51, true);
        check(false, 0, 51, true);
        check(true, 6, 50, false);
        check(true, 4, 51, true);
    }
}
