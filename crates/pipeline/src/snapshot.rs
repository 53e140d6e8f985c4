//! The snapshot of a partition's state: a file with the position it belongs to, replaced whole or not at all.
//!
//! ```text
//! magic 8 · format u32 · crc u32 over what follows · position u64 · digest length u8 · digest · zstd of the state
//! ```

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use backends::failpoint;
use model::place::Position;

const MAGIC: &[u8; 8] = b"BZSNAP\0\0";
const FORMAT: u32 = 1;
const PACK_LEVEL: i32 = 1;

/// What a snapshot file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The state is the one after everything before this position.
    pub position: Position,
    /// The digest of the rules in force.
    pub rules: String,
    /// The state.
    pub state: Vec<u8>,
}

/// Writes a snapshot over the one before.
///
/// # Errors
///
/// What the system says; the one before is still there then.
pub fn write(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend_from_slice(&snapshot.position.0.to_le_bytes());
    body.push(snapshot.rules.len() as u8);
    body.extend_from_slice(snapshot.rules.as_bytes());
    body.extend_from_slice(&zstd::bulk::compress(&snapshot.state, PACK_LEVEL)?);
    let temporary = path.with_extension("tmp");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(MAGIC)?;
    file.write_all(&FORMAT.to_le_bytes())?;
    file.write_all(&crc32c::crc32c(&body).to_le_bytes())?;
    file.write_all(&body)?;
    file.sync_all()?;
    failpoint::visit("snapshot.before_rename");
    fs::rename(&temporary, path)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Reads a snapshot; `None` when there is none, or it is damaged or of another version: then more is replayed.
#[must_use]
pub fn read(path: &Path) -> Option<Snapshot> {
    let bytes = fs::read(path).ok()?;
    let rest = bytes.strip_prefix(MAGIC)?;
    let (format, rest) = rest.split_first_chunk::<4>()?;
    let (crc, body) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*format) != FORMAT || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (position, rest) = body.split_first_chunk::<8>()?;
    let (&length, rest) = rest.split_first()?;
    let (rules, packed) = rest.split_at_checked(usize::from(length))?;
    let state = zstd::stream::decode_all(packed).ok()?;
    Some(Snapshot {
        position: Position(u64::from_le_bytes(*position)),
        rules: String::from_utf8(rules.to_vec()).ok()?,
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p0.snap");
        let snapshot = Snapshot { position: Position(42), rules: "abc".into(), state: vec![7; 10_000] };
        write(&path, &snapshot).unwrap();
        assert_eq!(read(&path), Some(snapshot));
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert_eq!(read(&path), None, "{at}");
        }
    }
}
