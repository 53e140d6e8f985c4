//! The connections to one file: one that writes, and a few that read beside it.

use std::fs;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::schema::migrate;
use crate::store::StoreError;

/// How many questions are answered at once; more wait. The edges ask less at once: four lists, four exports; what is
/// beyond them is short.
const READERS_MAX: usize = 12;
/// How long a question waits for one of [`READERS_MAX`] connections before the store is said to be unavailable.
const READER_WAIT: Duration = Duration::from_secs(5);
/// How long a statement waits for another process that writes: a commit takes some milliseconds, a large one a tenth
/// of a second. After it the caller decides, and may try again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// How many pages of the write-ahead log there may be before a commit copies them to the file: 4 MiB.
const CHECKPOINT_PAGES: u32 = 1000;
/// How large the file of the write-ahead log stays after that, in bytes.
const WAL_BYTES_KEPT: u64 = 64 << 20;

/// The connections to one file.
pub(super) struct Connections {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Readers>,
    /// The connection by which it is found out whether the file can be read at all, however busy the others are.
    probe: Mutex<Option<Connection>>,
    returned: Condvar,
}

#[derive(Default)]
struct Readers {
    idle: Vec<Connection>,
    in_use: usize,
}

/// A connection that reads, until it is dropped.
pub(super) struct Reader<'a> {
    connections: &'a Connections,
    connection: Option<Connection>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves whole values behind: an open transaction is rolled back by its own drop.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(error: io::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}

impl Connections {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        make_file(path).map_err(unavailable)?;
        let mut writer = connect(path)?;
        migrate(&mut writer)?;
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            probe: Mutex::default(),
            returned: Condvar::new(),
        })
    }

    /// The connection that writes; of two callers one waits.
    pub(super) fn writer(&self) -> MutexGuard<'_, Connection> {
        locked(&self.writer)
    }

    /// A connection that reads what has been committed, while another may write.
    pub(super) fn reader(&self) -> Result<Reader<'_>, StoreError> {
        let readers = locked(&self.readers);
        let is_busy = |it: &mut Readers| READERS_MAX <= it.in_use;
        let waited = self.returned.wait_timeout_while(readers, READER_WAIT, is_busy);
        let (mut readers, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(unavailable(io::ErrorKind::TimedOut.into()));
        }
        readers.in_use += 1;
        let idle = readers.idle.pop();
        drop(readers);
        // From here on the drop of the reader gives its place back.
        let mut reader = Reader { connections: self, connection: idle };
        if reader.connection.is_none() {
            reader.connection = Some(self.connect_to_read()?);
        }
        Ok(reader)
    }

    /// Whether the file can be read; no question that others ask keeps this one waiting.
    pub(super) fn is_answering(&self) -> bool {
        let mut probe = locked(&self.probe);
        let connection = probe.take().map_or_else(|| self.connect_to_read(), Ok);
        let Ok(connection) = connection else { return false };
        let answer: rusqlite::Result<i64> =
            connection.query_row("SELECT count(*) FROM partitions", [], |row| row.get(0));
        // One that failed is not asked again.
        let is_answering = answer.is_ok();
        *probe = is_answering.then_some(connection);
        is_answering
    }

    fn connect_to_read(&self) -> Result<Connection, StoreError> {
        let connection = connect(&self.path)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a reader has its connection until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut readers = locked(&self.connections.readers);
        readers.in_use -= 1;
        readers.idle.extend(self.connection.take());
        drop(readers);
        self.connections.returned.notify_one();
    }
}

/// Makes the file if there is none: readable by its owner only, and with a durable name.
///
/// SQLite gives the files beside it the same mode.
fn make_file(path: &Path) -> io::Result<()> {
    match fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A commit is synced before it returns.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT as i64)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_store_is_no_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let connections = Connections::open(&path).unwrap();
        let busy: Vec<_> = (0..READERS_MAX).map(|_| connections.reader().unwrap()).collect();
        let began = std::time::Instant::now();
        assert!(connections.is_answering() && connections.is_answering());
        assert!(began.elapsed() < READER_WAIT);
        drop(busy);
    }
}
