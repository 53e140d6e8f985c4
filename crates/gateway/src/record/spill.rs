//! The spill: events that could not be handed over, in files of the data folder, until they can.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::event::EventView;
use model::intake::Events;

/// What the names of the files end with.
const SUFFIX: &str = "events";
/// How large a file may be that is read back; none that was written here is larger.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The files, oldest first.
#[derive(Debug)]
pub(crate) struct Spill {
    folder: PathBuf,
    files: VecDeque<(u64, u64)>,
    next: u64,
    bytes: u64,
    bytes_max: u64,
}

impl Spill {
    /// Opens the folder, and makes it where it is missing.
    pub(crate) fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let number = path.file_stem().and_then(|it| it.to_str()).and_then(|it| it.parse().ok());
            match number.filter(|_| path.extension().is_some_and(|it| it == SUFFIX)) {
                Some(number) => files.push((number, entry.metadata()?.len())),
                // Half written when the process ended.
                None => fs::remove_file(&path)?,
            }
        }
        files.sort_unstable();
        let next = files.last().map_or(0, |it| it.0 + 1);
        let bytes = files.iter().map(|it| it.1).sum();
        Ok(Self { folder: folder.to_owned(), files: files.into(), next, bytes, bytes_max })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Writes events to a new file.
    ///
    /// # Errors
    ///
    /// When there is no more room, or the disk fails; nothing is kept then.
    pub(crate) fn write(&mut self, events: &Events) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(events.bytes.len() + 4 * events.len());
        for event in events.iter() {
            bytes.extend_from_slice(&(event.len() as u32).to_le_bytes());
            bytes.extend_from_slice(event);
        }
        let size = bytes.len() as u64;
        if self.bytes_max < self.bytes + size {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the spill is full"));
        }
        let half = self.folder.join("half-written");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(&bytes)?;
        fs::rename(&half, self.path(self.next))?;
        self.files.push_back((self.next, size));
        self.next += 1;
        self.bytes += size;
        Ok(())
    }

    /// Reads the oldest file; what is no event in it is passed over.
    pub(crate) fn read(&mut self) -> io::Result<Events> {
        let Some((number, size)) = self.files.front().copied() else { return Ok(Events::default()) };
        if FILE_BYTES_MAX < size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a file of the spill is too large"));
        }
        let bytes = fs::read(self.path(number))?;
        let mut events = Events::default();
        let mut rest = &bytes[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let Some((event, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
            if EventView::of(event).is_some() {
                events.bytes.extend_from_slice(event);
                events.close();
            }
            rest = after;
        }
        Ok(events)
    }

    /// Forgets the oldest file.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        let Some((number, size)) = self.files.pop_front() else { return Ok(()) };
        self.bytes -= size;
        fs::remove_file(self.path(number))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016}.{SUFFIX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn events(numbers: std::ops::Range<u128>) -> Events {
        let mut events = Events::default();
        numbers.for_each(|it| sample(it).write(&mut events));
        events
    }

    fn ids(events: &Events) -> Vec<u128> {
        events.iter().map(|it| EventView::of(it).unwrap().id.0).collect()
    }

    #[test]
    fn what_was_written_is_read_in_order_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
        spill.write(&events(1..4)).unwrap();
        spill.write(&events(4..6)).unwrap();
        fs::write(folder.path().join("half-written"), "x").unwrap();
        let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(ids(&spill.read().unwrap()), [1, 2, 3]);
        spill.remove().unwrap();
        assert_eq!(ids(&spill.read().unwrap()), [4, 5]);
        spill.remove().unwrap();
        assert!(spill.is_empty() && spill.read().unwrap().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_spill_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let size = events(1..2).bytes.len() as u64 + 4;
        let mut spill = Spill::open(folder.path(), size).unwrap();
        spill.write(&events(1..2)).unwrap();
        assert!(spill.write(&events(2..3)).is_err());
        spill.remove().unwrap();
        spill.write(&events(2..3)).unwrap();
    }

    #[test]
    fn damage_costs_what_it_hit() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
        spill.write(&events(1..4)).unwrap();
        let path = spill.path(0);
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 3);
        bytes[4] = 99;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(ids(&spill.read().unwrap()), [2]);
    }
}
