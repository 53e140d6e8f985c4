//! What the routes share: the store, the log, the ledger, and the ways to ask them without holding a thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use backends::log::{Log, LogError};
use backends::store::outbox::OutboxRow;
use backends::store::{Store, StoreError};
use bytes::Bytes;
use hyper::StatusCode;
use model::alert::Alert;
use model::time::Timestamp;
use pipeline::admitter::Admitter;
use pipeline::ingest::{Ingest, chain};
use pipeline::ledger::Ledger;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use web::answer::Answer;
use web::route::Route;

use crate::cache::Cache;
use crate::object::PAGE_BYTES_MAX;
use crate::status::Status;

/// How many reads of store and log run at once; more wait, each in its turn. Each holds a thread and a connection of the
/// store, and the store has more of these.
const READS_MAX: usize = 4;
/// How many searches through the log run at once; more wait. Each may read hundreds of mebibytes.
const SEARCHES_MAX: usize = 4;
/// How much the lists that are made and sent take together, in KiB: 128 MiB, room for all that are made at once. Who asks
/// for one more waits.
const ROOM_KIB: usize = 128 << 10;
/// How long a list waits for room: clients that do not fetch what they asked for hold it.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// After how many seconds one may ask again when the store or the log did not answer.
const RETRY_AFTER_S: u64 = 5;

/// Tells the state of detection; called for each answer that shows it, so it must not block.
pub type StatusSource = Arc<dyn Fn() -> Status + Send + Sync>;

/// Says which messages tell that an alert was closed at a time.
pub type AnnounceClosed = Arc<dyn Fn(&Alert, Timestamp) -> Vec<OutboxRow> + Send + Sync>;

/// What the routes of the console share.
pub struct Console {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) admitter: Arc<Admitter>,
    pub(crate) status: StatusSource,
    pub(crate) cache: Cache,
    pub(crate) document: OnceLock<Bytes>,
    /// Held during a replay of quarantine, so that no record is replayed twice.
    pub(crate) replay: Mutex<()>,
    announce_closed: OnceLock<AnnounceClosed>,
    is_ready: AtomicBool,
    reads: Semaphore,
    searches: Semaphore,
    room: Arc<Semaphore>,
}

/// Room for a list in memory, until it is sent.
pub(crate) struct Room(OwnedSemaphorePermit);

impl Room {
    /// Keeps as much of the room as `body` takes, for as long as that is held.
    pub(crate) fn hold(mut self, body: Bytes) -> Bytes {
        let needed = body.len().div_ceil(1024).min(self.0.num_permits());
        match self.0.split(needed) {
            Some(permit) => Bytes::from_owner(Held { body, _permit: permit }),
            None => body,
        }
    }
}

struct Held {
    body: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Why a read has no result.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It may have one later.
    Away,
    /// It will not.
    Broken,
}

impl Console {
    /// Joins what the routes need; not ready, and without a description of the API.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        log: Arc<dyn Log>,
        ledger: Arc<Ledger>,
        ingest: Arc<Ingest>,
        admitter: Arc<Admitter>,
        status: StatusSource,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            log,
            ledger,
            ingest,
            admitter,
            status,
            cache: Cache::default(),
            document: OnceLock::new(),
            replay: Mutex::new(()),
            announce_closed: OnceLock::new(),
            is_ready: AtomicBool::new(false),
            reads: Semaphore::new(READS_MAX),
            searches: Semaphore::new(SEARCHES_MAX),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
        })
    }

    /// Says whether requests are served: what `/readyz` answers.
    pub fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Release);
    }

    /// Whether requests are served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Says who is told that an alert was closed; a second call changes nothing, without one nobody is.
    pub fn announce_closed(&self, announce: AnnounceClosed) {
        self.announce_closed.get_or_init(|| announce);
    }

    /// The messages that tell that an alert was closed.
    pub(crate) fn closed_messages(&self, alert: &Alert, at: Timestamp) -> Vec<OutboxRow> {
        self.announce_closed.get().map(|it| it(alert, at)).unwrap_or_default()
    }

    /// Makes the document of `/openapi.json` from the routes of all edges; a second call changes nothing.
    pub fn describe(&self, routes: &[Route]) {
        self.document.get_or_init(|| crate::openapi::openapi(routes).to_string().into());
    }

    /// Runs `read` on a thread that may block, a few at a time.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, ReadError>
    where
        F: FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
        T: Send + 'static,
    {
        let _permit = self.reads.acquire().await.map_err(|_| ReadError::Away)?;
        self.ask(read).await
    }

    /// The same for a list, with the room that it may take.
    pub(crate) async fn read_list<T, F>(self: &Arc<Self>, read: F) -> Result<(T, Room), ReadError>
    where
        F: FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
        T: Send + 'static,
    {
        let _permit = self.reads.acquire().await.map_err(|_| ReadError::Away)?;
        let room = self.room().await?;
        Ok((self.ask(read).await?, room))
    }

    /// The same for what may look at much of the log: it does not keep the quick reads waiting.
    pub(crate) async fn search<T, F>(self: &Arc<Self>, read: F) -> Result<T, ReadError>
    where
        F: FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
        T: Send + 'static,
    {
        let _permit = self.searches.acquire().await.map_err(|_| ReadError::Away)?;
        self.ask(read).await
    }

    /// The same for a list, with the room that it may take.
    pub(crate) async fn search_list<T, F>(self: &Arc<Self>, read: F) -> Result<(T, Room), ReadError>
    where
        F: FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
        T: Send + 'static,
    {
        let _permit = self.searches.acquire().await.map_err(|_| ReadError::Away)?;
        let room = self.room().await?;
        Ok((self.ask(read).await?, room))
    }

    /// The same at once, for what is quick and must be answered when all else is slow.
    pub(crate) async fn ask<T, F>(self: &Arc<Self>, read: F) -> Result<T, ReadError>
    where
        F: FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
        T: Send + 'static,
    {
        let state = self.clone();
        tokio::task::spawn_blocking(move || read(&state)).await.map_err(|_| ReadError::Broken)?
    }

    /// Waits for room for a list of [`PAGE_BYTES_MAX`](crate::object::PAGE_BYTES_MAX).
    async fn room(&self) -> Result<Room, ReadError> {
        // Its items and their array are in memory together, and the last item goes beyond the limit.
        let needed = (2 * PAGE_BYTES_MAX).div_ceil(1024) as u32;
        let permit = self.room.clone().acquire_many_owned(needed);
        match tokio::time::timeout(ROOM_WAIT, permit).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            _ => Err(ReadError::Away),
        }
    }

    /// The wall clock.
    pub(crate) fn now() -> Timestamp {
        pipeline::ingest::now()
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(reason = %chain(&error), "The store could not be read");
        if error.is_transient() { Self::Away } else { Self::Broken }
    }
}

impl From<LogError> for ReadError {
    fn from(error: LogError) -> Self {
        tracing::warn!(reason = %chain(&error), "The log could not be read");
        if error.is_transient() { Self::Away } else { Self::Broken }
    }
}

impl ReadError {
    /// The status and a sentence that tells nothing of what is behind.
    pub(crate) const fn said(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Away => (StatusCode::SERVICE_UNAVAILABLE, "what is stored cannot be read now"),
            Self::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "what is stored cannot be read"),
        }
    }

    /// The answer below `/v1`.
    pub(crate) fn problem(&self) -> Answer {
        let (status, detail) = self.said();
        self.with_retry(Answer::problem(status, detail))
    }

    /// Says when to try again, where that helps.
    pub(crate) fn with_retry(&self, answer: Answer) -> Answer {
        match self {
            Self::Away => answer.retry_after(RETRY_AFTER_S),
            Self::Broken => answer,
        }
    }
}
