//! The gateway itself: what every request needs, made once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use attack::exception::Exceptions;
use attack::inspector::Inspector;
use model::id::EventId;
use model::time::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsConnector;

use crate::decisions::Decisions;
use crate::policy::{InForce, Policy};
use crate::record::Action;
use crate::record::recorder::Recorder;
use crate::record::spill::Spill;
use crate::remote::Remote;
use crate::settings::{PolicySettings, Settings};
use crate::sink::Sink;
use crate::upstream::group::GroupSettings;
use crate::upstream::health::look_after;

/// How often decisions that are over are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(30);

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder for events that wait cannot be used.
    #[error("the folder `{0}` cannot be used: {1}")]
    Spill(std::path::PathBuf, std::io::Error),
    /// No random number for the ids of requests.
    #[error("there is no randomness for the ids of requests")]
    NoRandomness,
}

/// What became of requests and their events since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, by what was done with them: the word that `http.action` has.
    pub requests: Vec<(&'static str, u64)>,
    /// Requests that were inspected.
    pub inspections: u64,
    /// How long inspection took together.
    pub inspection_time: Duration,
    /// Events that wait in memory.
    pub queued: u64,
    /// Upstreams that are asked.
    pub upstreams_up: u64,
    /// Upstreams that are left out: they fail, or their check says that they are not well.
    pub upstreams_down: u64,
    /// Addresses and ranges that have a decision in force.
    pub decisions: u64,
    /// The copy of another installation's decisions, if there is one.
    pub remote: Option<RemoteCounts>,
    /// Events that were recorded.
    pub recorded: u64,
    /// Events that went to disk first.
    pub spilled: u64,
    /// Events that found no room anywhere.
    pub lost: u64,
    /// Requests that were forwarded without inspection though they should have been inspected.
    pub uninspected: u64,
}

/// The copy of another installation's decisions, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteCounts {
    /// How many decisions it has.
    pub decisions: u64,
    /// When the other installation was last heard; `None` for never.
    pub heard_at: Option<Timestamp>,
    /// How long ago that is.
    pub age: Option<Duration>,
    /// Whether it is enforced.
    pub is_enforced: bool,
}

/// The gateway.
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) policy: InForce,
    pub(crate) decisions: Arc<Decisions>,
    pub(crate) inspector: Inspector,
    exceptions: RwLock<Arc<Exceptions>>,
    pub(crate) recorder: Arc<Recorder>,
    /// How many connections may be tunnels of another protocol.
    pub(crate) tunnels: Arc<Semaphore>,
    pub(crate) uninspected: AtomicU64,
    pub(crate) effort: Effort,
    ids: Ids,
}

/// What inspection costs.
#[derive(Debug, Default)]
pub(crate) struct Effort {
    inspections: AtomicU64,
    nanos: AtomicU64,
}

impl Effort {
    /// Adds one inspection.
    pub(crate) fn add(&self, time: Duration) {
        self.inspections.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Ids of requests: a random half that tells this start from others, and a number.
struct Ids {
    start: u64,
    count: AtomicU64,
}

impl Gateway {
    /// Makes a gateway that enforces `decisions`; `tls` is needed where an upstream is `https`.
    ///
    /// # Errors
    ///
    /// [`StartError::NoRandomness`].
    pub fn new(settings: Settings, tls: Option<TlsConnector>, decisions: Decisions) -> Result<Arc<Self>, StartError> {
        let shared = Arc::new(GroupSettings { connect: settings.times.connect, tls });
        let mut start = [0; 8];
        getrandom::fill(&mut start).map_err(|_| StartError::NoRandomness)?;
        Ok(Arc::new(Self {
            policy: InForce::new(Policy::new(settings.policy.clone(), &shared, None)),
            decisions: Arc::new(decisions),
            inspector: Inspector::new(),
            exceptions: RwLock::default(),
            recorder: Recorder::new(),
            tunnels: Arc::new(Semaphore::new(settings.connections_max)),
            uninspected: AtomicU64::new(0),
            effort: Effort::default(),
            ids: Ids { start: u64::from_le_bytes(start), count: AtomicU64::new(0) },
            settings,
        }))
    }

    /// Exchanges the policy: later requests meet the new one. Upstreams that stay keep their connections.
    ///
    /// `tls` is needed where a new upstream is `https`.
    pub fn change(&self, policy: PolicySettings, tls: Option<TlsConnector>) {
        let shared = Arc::new(GroupSettings { connect: self.settings.times.connect, tls });
        self.policy.change(|former| Policy::new(policy, &shared, Some(former)));
    }

    /// What became of requests and events.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counts = &self.recorder.counts;
        let upstreams = self.policy.get().upstreams();
        let now = Instant::now();
        let up = upstreams.iter().filter(|it| it.is_well(now)).count();
        Counts {
            requests: Action::ALL.iter().map(|it| (it.as_str(), counts.of_action(*it))).collect(),
            inspections: self.effort.inspections.load(Ordering::Relaxed),
            inspection_time: Duration::from_nanos(self.effort.nanos.load(Ordering::Relaxed)),
            queued: self.recorder.queued() as u64,
            upstreams_up: up as u64,
            upstreams_down: (upstreams.len() - up) as u64,
            decisions: self.decisions.len() as u64,
            remote: self.decisions.remote().map(|it| counts_of(it, self::now())),
            recorded: counts.recorded.load(Ordering::Relaxed),
            spilled: counts.spilled.load(Ordering::Relaxed),
            lost: counts.lost.load(Ordering::Relaxed),
            uninspected: self.uninspected.load(Ordering::Relaxed),
        }
    }

    /// Leaves out of inspection whatever `exceptions` cover, from the next request on.
    pub fn except(&self, exceptions: Arc<Exceptions>) {
        *self.exceptions.write().unwrap_or_else(PoisonError::into_inner) = exceptions;
    }

    /// The exceptions in force.
    pub(crate) fn exceptions(&self) -> Arc<Exceptions> {
        self.exceptions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands events to `sink` and looks after upstreams and decisions until `stop`, then hands over what is left.
    ///
    /// # Errors
    ///
    /// [`StartError::Spill`] when the folder for events that wait cannot be used.
    pub async fn run(self: Arc<Self>, sink: Arc<dyn Sink>, stop: watch::Receiver<bool>) -> Result<(), StartError> {
        let folder = self.settings.spill_folder.clone();
        let spill = Spill::open(&folder, self.settings.spill_bytes_max).map_err(|it| StartError::Spill(folder, it))?;
        let health =
            look_after(|| self.policy.get().upstreams(), self.settings.health_path.clone(), self.settings.health_every);
        let record = self.recorder.clone().run(sink, spill, stop);
        let prune = async {
            let mut ticks = tokio::time::interval(PRUNE_EVERY);
            loop {
                ticks.tick().await;
                self.decisions.prune(now());
            }
        };
        tokio::select! {
            () = record => {}
            () = health => {}
            () = prune => {}
        }
        Ok(())
    }

    /// A new id for a request; its event has the same.
    pub(crate) fn next_id(&self) -> EventId {
        let count = self.ids.count.fetch_add(1, Ordering::Relaxed);
        EventId((u128::from(self.ids.start) << 64) | u128::from(count))
    }
}

fn counts_of(remote: &Remote, now: Timestamp) -> RemoteCounts {
    let heard_at = remote.heard_at();
    RemoteCounts {
        decisions: remote.board().count().0 as u64,
        heard_at,
        age: heard_at.map(|it| now.since(it)),
        is_enforced: remote.is_enforced(now),
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(model::time::nanos_of(since))
}
