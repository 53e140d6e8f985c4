//! What all doors of this crate share: the decisions, who pulls them, the clock, and the word that something changed.

use std::sync::Arc;
use std::time::Duration;

use backends::store::{Store, StoreError};
use decision::board::Board;
use hyper::StatusCode;
use model::time::Timestamp;
use tokio::sync::{Semaphore, watch};
use web::answer::Answer;
use web::route::{Caller, Request};

use crate::pullers::{Identity, Kind, Pullers};

/// How many requests may wait for a change at once; further ones are answered at once.
pub const WAITING_MAX: usize = 1000;
/// How many answers are being made at once; more wait. Each holds a thread and a list of what it tells.
const MAKING_MAX: usize = 8;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What decides how decisions are served.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether firewall bouncers of CrowdSec, which block only the first address of a range, get each address of it.
    pub expands_ranges: bool,
}

/// What all doors share.
pub struct Enforcement {
    pub(crate) board: Arc<Board>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) pullers: Pullers,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) waiting: Semaphore,
    making: Semaphore,
    /// Told after each change; true once nobody is to wait any more.
    changed: watch::Sender<bool>,
}

impl Enforcement {
    /// Reads who pulls, and serves what is on the board.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn open(
        board: Arc<Board>,
        store: Arc<dyn Store>,
        clock: Clock,
        settings: Settings,
    ) -> Result<Arc<Self>, StoreError> {
        let edge = Arc::new(Self {
            board: board.clone(),
            pullers: Pullers::open(store.clone(), clock())?,
            store,
            clock,
            settings,
            waiting: Semaphore::new(WAITING_MAX),
            making: Semaphore::new(MAKING_MAX),
            changed: watch::Sender::new(false),
        });
        let told = Arc::downgrade(&edge);
        board.listen(Arc::new(move || {
            if let Some(edge) = told.upgrade() {
                edge.changed.send_modify(|_| {});
            }
        }));
        Ok(edge)
    }

    /// Answers those who wait for a change, now and from now on: the process is about to end.
    pub fn close(&self) {
        self.changed.send_replace(true);
    }

    /// Who pulls.
    #[must_use]
    pub const fn pullers(&self) -> &Pullers {
        &self.pullers
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<bool> {
        self.changed.subscribe()
    }

    /// Runs `make` on a thread that may take its time, a few at once.
    pub(crate) async fn make(self: &Arc<Self>, make: impl FnOnce(&Arc<Self>) -> Answer + Send + 'static) -> Answer {
        let Ok(_permit) = self.making.acquire().await else {
            return Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "this cannot be done now").retry_after(1);
        };
        let edge = self.clone();
        let made = tokio::task::spawn_blocking(move || make(&edge)).await;
        made.unwrap_or_else(|_| Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "this failed by a mistake of ours"))
    }
}

/// Who sent a request, for the list of those who pull.
pub(crate) fn identity_of(request: &Request, kind: Kind) -> Identity {
    let name = match &request.caller {
        Caller::Key(name) => name.to_string(),
        other => other.actor(),
    };
    Identity { name, address: request.peer.ip().to_canonical().to_string(), kind }
}

/// How a client calls itself.
pub(crate) fn agent_of(request: &Request) -> String {
    request.header("user-agent").unwrap_or_default().to_owned()
}

/// Writes a time as people say it: `4h`, `90s`.
#[must_use]
pub fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
