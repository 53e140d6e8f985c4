//! What is blocked, on disk: for a start while the server is away. It says of when it is.

use std::fmt::Write;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use model::network::Network;
use model::time::Timestamp;
use serde_json::{Value, json};

use super::wanted::{Change, Wanted};

/// How large a file is read at most: a million lines.
const BYTES_MAX: u64 = 128 << 20;

/// What was known when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What is to be blocked.
    pub wanted: Wanted,
    /// From where to go on.
    pub cursor: String,
    /// When the server was last heard.
    pub heard_at: Timestamp,
}

impl Snapshot {
    /// Writes it beside `path` and puts it there in one step; only its owner can read it.
    ///
    /// # Errors
    ///
    /// What the system says; what was there before is still there then.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = format!("{}\n", json!({"heard_at": self.heard_at.0, "cursor": self.cursor}));
        for (network, until) in self.wanted.all() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{network} {}", until.0);
        }
        let beside = path.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&beside, path)
    }

    /// Reads it, without what is over by `now`; `None` when there is none. Lines that make no sense are passed over.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn read(path: &Path, now: Timestamp) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(it) if BYTES_MAX < it.len() => return Err(io::Error::other("it is too large to be one of ours")),
            Ok(_) => {}
        }
        let text = fs::read_to_string(path)?;
        let mut lines = text.lines();
        let head: Value = lines.next().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
        let (Some(heard_at), Some(cursor)) = (head["heard_at"].as_i64(), head["cursor"].as_str()) else {
            return Ok(None);
        };
        let mut wanted = Wanted::default();
        for line in lines {
            let Some((network, until)) = line.split_once(' ') else { continue };
            let (Some(network), Ok(until)) = (Network::parse(network), until.parse().map(Timestamp)) else { continue };
            if now < until {
                wanted.take(&Change::Add(network, until.since(now)), now);
            }
        }
        Ok(Some(Self { wanted, cursor: cursor.to_owned(), heard_at: Timestamp(heard_at) }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

    #[test]
    fn what_was_written_is_read_back_without_what_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot");
        assert_eq!(Snapshot::read(&path, NOON).unwrap(), None);
        let mut snapshot = Snapshot { cursor: "5-6".to_owned(), heard_at: NOON, ..Snapshot::default() };
        for (network, seconds) in [("203.0.113.7", 60), ("2001:db8::/48", 600)] {
            let change = Change::Add(Network::parse(network).unwrap(), Duration::from_secs(seconds));
            snapshot.wanted.take(&change, NOON);
        }
        snapshot.write(&path).unwrap();
        assert_eq!(Snapshot::read(&path, NOON).unwrap().unwrap(), snapshot);
        let later = Snapshot::read(&path, NOON.plus(Duration::from_secs(60))).unwrap().unwrap();
        assert_eq!(later.wanted.all().map(|it| it.0.to_string()).collect::<Vec<_>>(), ["2001:db8::/48"]);
        fs::write(&path, "no snapshot\n\u{0}").unwrap();
        assert_eq!(Snapshot::read(&path, NOON).unwrap(), None);
    }
}
