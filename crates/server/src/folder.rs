//! The data folder: made private, held by one process, with a place for each thing.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock, statvfs};

use crate::failure::Failure;

/// The socket over which commands talk to the server that holds the folder.
pub(crate) const SOCKET: &str = "control.sock";

/// How much room is kept in the file `reserve`, in bytes: a start writes some pages of the store and a few small files.
const RESERVE_BYTES: u64 = 1 << 20;

/// How long the name of an installation is: 128 bits, written in hexadecimal.
const OWNERS_BYTES: usize = 32;

/// A data folder that this process holds.
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::unusable(format!("the data folder `{}` cannot be used: {error}", path.display()))
}

pub(crate) fn make(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    if path.exists() {
        return Err(unusable(path, &"it is a file, not a folder"));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|it| unusable(path, &it))
}

impl Folder {
    /// Makes the folder when it is missing, and holds it.
    pub(crate) fn hold(path: &Path) -> Result<Self, Failure> {
        make(path)?;
        for inner in ["events", "snapshots", "rulesets"] {
            make(&path.join(inner))?;
        }
        let mut options = fs::OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path.join("lock"));
        let mut lock = lock.map_err(|it| unusable(path, &it))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = fs::read_to_string(path.join("lock")).unwrap_or_default();
            return Err(unusable(
                path,
                &format!("process {} works on it; stop it first, or name another with --data", holder.trim()),
            ));
        }
        // The number is for people only.
        let _ = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        // Who wrote here before may have had other habits.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
        let folder = Self { path: path.to_owned(), lock };
        folder.give_reserve();
        Ok(folder)
    }

    /// Gives the reserve back to a disk that is full, so that the start has the room that it cannot do without.
    fn give_reserve(&self) {
        let room = statvfs(&self.path).map(|it| it.f_bavail.saturating_mul(it.f_frsize));
        if room.is_ok_and(|it| it < RESERVE_BYTES) && fs::remove_file(self.reserve()).is_ok() {
            tracing::warn!("The disk of the data folder is full; the room that was kept for a start is used now");
        }
    }

    /// Keeps room for the next start, if there is room to keep.
    pub(crate) fn keep_reserve(&self) {
        let path = self.reserve();
        if path.exists() {
            return;
        }
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let is_kept = made.is_ok_and(|it| fallocate(&it, FallocateFlags::empty(), 0, RESERVE_BYTES).is_ok());
        if !is_kept {
            // It is tried again.
            let _ = fs::remove_file(&path);
        }
    }

    fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }

    /// Whether a process holds the folder; a folder that is not there cannot be used.
    pub(crate) fn is_held(path: &Path) -> Result<bool, Failure> {
        if !path.join("lock").exists() {
            let reason = if path.is_dir() { "it is no data folder of Bartizan" } else { "it is not there" };
            return Err(unusable(path, &reason));
        }
        let lock =
            fs::OpenOptions::new().read(true).write(true).open(path.join("lock")).map_err(|it| unusable(path, &it))?;
        Ok(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.path.join("events")
    }

    /// The copy of a log that a broker keeps.
    pub(crate) fn copy(&self) -> PathBuf {
        self.path.join("events-copy")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    pub(crate) fn rulesets(&self) -> PathBuf {
        self.path.join("rulesets")
    }

    /// Where the decisions of another installation are kept.
    pub(crate) fn remote_decisions(&self) -> PathBuf {
        self.path.join("remote-decisions.snapshot")
    }

    pub(crate) fn gateway(&self) -> PathBuf {
        self.path.join("gateway")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("bartizan.db")
    }

    pub(crate) fn admin_key(&self) -> PathBuf {
        self.path.join("admin.key")
    }

    /// How the holders of this folder call themselves where others may be beside them: the beginning of their names. It is
    /// made by chance at the first start and stays with the folder.
    pub(crate) fn owners(&self) -> Result<String, Failure> {
        let path = self.path.join("installation");
        let is_usable = |it: &str| it.len() == OWNERS_BYTES && it.bytes().all(|it| it.is_ascii_hexdigit());
        let known = fs::read_to_string(&path).ok().map(|it| it.trim().to_owned()).filter(|it| is_usable(it));
        let number = match known {
            Some(number) => number,
            None => {
                let mut bytes = [0; OWNERS_BYTES / 2];
                getrandom::fill(&mut bytes).map_err(|it| unusable(&path, &it))?;
                let number: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
                Self::write_private(&path, &format!("{number}\n"))?;
                number
            }
        };
        Ok(number + ".")
    }

    /// The folder as an open file, for sockets in it.
    pub(crate) fn open(&self) -> Result<File, Failure> {
        debug_assert!(self.lock.metadata().is_ok());
        File::open(&self.path).map_err(|it| unusable(&self.path, &it))
    }

    /// Writes a file that only we can read, whole or not at all; nothing stays behind when it fails.
    pub(crate) fn write_private(path: &Path, content: &str) -> Result<(), Failure> {
        let temporary = path.with_extension("tmp");
        let write = || {
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        write().map_err(|it| {
            let _ = fs::remove_file(&temporary);
            unusable(path, &it)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_the_next_start_is_kept_and_given_back() {
        let parent = tempfile::tempdir().expect("a temporary folder can be made");
        let path = parent.path().join("data");
        let folder = Folder::hold(&path).expect("nobody holds it");
        for _ in 0..2 {
            folder.keep_reserve();
            assert_eq!(fs::metadata(path.join("reserve")).expect("it is there").len(), RESERVE_BYTES);
        }
        drop(folder);
        // There is room on the disk, so it stays.
        drop(Folder::hold(&path).expect("nobody holds it"));
        assert!(path.join("reserve").exists());
    }

    #[test]
    fn an_installation_keeps_its_name_and_no_two_have_the_same() {
        let parent = tempfile::tempdir().expect("a temporary folder can be made");
        let owners = |name: &str| {
            let folder = Folder::hold(&parent.path().join(name)).expect("nobody holds it");
            folder.owners().expect("it can be written")
        };
        let first = owners("a");
        assert_eq!((first.len(), owners("a")), (OWNERS_BYTES + 1, first.clone()));
        assert_ne!(owners("b"), first);
        fs::write(parent.path().join("a/installation"), "no name\n").expect("it is ours");
        assert_ne!(owners("a"), "no name.");
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        // A folder of that name cannot be replaced by a file.
        let path = folder.path().join("url");
        fs::create_dir(&path).expect("it is ours");
        assert!(Folder::write_private(&path, "x").is_err());
        let left: Vec<_> =
            fs::read_dir(folder.path()).expect("it is ours").flatten().map(|it| it.file_name()).collect();
        assert_eq!(left, ["url"]);
    }
}
