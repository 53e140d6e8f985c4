//! What the routes share: the store, the log, the ledger, and the ways to ask them without holding a thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use backends::log::{Log, LogError};
use backends::store::{Store, StoreError};
use bytes::Bytes;
use hyper::StatusCode;
use model::time::Timestamp;
use pipeline::admitter::Admitter;
use pipeline::ingest::{Ingest, chain};
use pipeline::ledger::Ledger;
use tokio::sync::Semaphore;
use web::answer::Answer;
use web::route::Route;

use crate::cache::Cache;
use crate::status::Status;

/// How many reads of store and log run at once; more wait. Each holds a thread and up to a page of its answer.
const READS_MAX: usize = 16;
/// How many searches through the log run at once; more wait. Each may read hundreds of mebibytes.
const SEARCHES_MAX: usize = 4;
/// After how many seconds one may ask again when the store or the log did not answer.
const RETRY_AFTER_S: u64 = 5;

/// Tells the state of detection; called for each answer that shows it, so it must not block.
pub type StatusSource = Arc<dyn Fn() -> Status + Send + Sync>;

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
    is_ready: AtomicBool,
    reads: Semaphore,
    searches: Semaphore,
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
            is_ready: AtomicBool::new(false),
            reads: Semaphore::new(READS_MAX),
            searches: Semaphore::new(SEARCHES_MAX),
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

    /// The same for what may look at much of the log: it does not keep the quick reads waiting.
    pub(crate) async fn search<T, F>(self: &Arc<Self>, read: F) -> Result<T, ReadError>
    where
        F: FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
        T: Send + 'static,
    {
        let _permit = self.searches.acquire().await.map_err(|_| ReadError::Away)?;
        self.ask(read).await
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
