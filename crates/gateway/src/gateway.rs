//! The gateway itself: what every request needs, made once.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attack::exception::Exceptions;
use attack::inspector::Inspector;
use model::alert::Alert;
use model::entity::EntityKind;
use model::id::EventId;
use model::time::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsConnector;

use crate::decisions::{Decision, Decisions};
use crate::network::Network;
use crate::record::recorder::Recorder;
use crate::record::spill::Spill;
use crate::route::{Route, Routes};
use crate::settings::Settings;
use crate::sink::Sink;
use crate::upstream::group::{Group, GroupSettings};
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that were recorded.
    pub recorded: u64,
    /// Events that went to disk first.
    pub spilled: u64,
    /// Events that found no room anywhere.
    pub lost: u64,
    /// Requests that were forwarded without inspection though they should have been inspected.
    pub uninspected: u64,
}

/// The gateway.
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) routes: Routes,
    pub(crate) decisions: Arc<Decisions>,
    pub(crate) inspector: Inspector,
    exceptions: RwLock<Arc<Exceptions>>,
    pub(crate) recorder: Arc<Recorder>,
    /// How many connections may be tunnels of another protocol.
    pub(crate) tunnels: Arc<Semaphore>,
    pub(crate) uninspected: AtomicU64,
    ids: Ids,
}

/// Ids of requests: a random half that tells this start from others, and a number.
struct Ids {
    start: u64,
    count: AtomicU64,
}

impl Gateway {
    /// Makes a gateway; `tls` is needed where an upstream is `https`.
    ///
    /// # Errors
    ///
    /// [`StartError::NoRandomness`].
    pub fn new(settings: Settings, tls: Option<TlsConnector>) -> Result<Arc<Self>, StartError> {
        let shared = Arc::new(GroupSettings { connect: settings.times.connect, tls });
        let route = |it: &crate::route::RouteSettings| Route {
            group: Arc::new(Group::new(&it.upstreams, &shared)),
            settings: it.clone(),
        };
        let mut start = [0; 8];
        getrandom::fill(&mut start).map_err(|_| StartError::NoRandomness)?;
        Ok(Arc::new(Self {
            routes: Routes::new(settings.routes.iter().map(route).collect()),
            decisions: Arc::new(Decisions::new(settings.trusted.clone(), settings.spares_local)),
            inspector: Inspector::new(),
            exceptions: RwLock::default(),
            recorder: Recorder::new(),
            tunnels: Arc::new(Semaphore::new(settings.connections_max)),
            uninspected: AtomicU64::new(0),
            ids: Ids { start: u64::from_le_bytes(start), count: AtomicU64::new(0) },
            settings,
        }))
    }

    /// The decisions in force.
    #[must_use]
    pub fn decisions(&self) -> &Arc<Decisions> {
        &self.decisions
    }

    /// What became of requests and events.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counts = &self.recorder.counts;
        Counts {
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

    /// Takes alerts that were just raised: those of rules that are enforced become decisions.
    ///
    /// Synthetic alerts and alerts without an address become none; local addresses and trusted proxies are spared.
    pub fn enforce(&self, alerts: &[Alert]) {
        for alert in alerts.iter().filter(|it| !it.synthetic) {
            let Some(enforcement) = self.settings.enforce.get(&alert.rule_id) else { continue };
            let Some(address) = address_of(alert) else { continue };
            let now = now();
            let decision = Decision {
                network: Network::of(address),
                measure: enforcement.measure,
                until: now.plus(enforcement.time),
                reason: alert.rule_id.clone(),
                is_automatic: true,
            };
            let measure = enforcement.measure.as_str();
            match self.decisions.add(decision, now) {
                Ok(()) => tracing::info!(rule.id = %alert.rule_id, client.ip = %address, measure, "Enforced an alert"),
                Err(reason) => {
                    tracing::warn!(rule.id = %alert.rule_id, client.ip = %address, %reason, "An alert is not enforced");
                }
            }
        }
    }

    /// Hands events to `sink` and looks after upstreams and decisions until `stop`, then hands over what is left.
    ///
    /// # Errors
    ///
    /// [`StartError::Spill`] when the folder for events that wait cannot be used.
    pub async fn run(self: Arc<Self>, sink: Arc<dyn Sink>, stop: watch::Receiver<bool>) -> Result<(), StartError> {
        let folder = self.settings.spill_folder.clone();
        let spill = Spill::open(&folder, self.settings.spill_bytes_max).map_err(|it| StartError::Spill(folder, it))?;
        let upstreams = self.routes.iter().flat_map(|it| it.group.members().iter().cloned()).collect();
        let health = look_after(upstreams, self.settings.health_path.clone(), self.settings.health_every);
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

/// Whom an alert is about, where that is an address.
fn address_of(alert: &Alert) -> Option<IpAddr> {
    match alert.entity.kind {
        EntityKind::Ip => model::entity::parse_ip(&alert.entity.value),
        EntityKind::Many => None,
        _ => alert.client_ip,
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(model::time::nanos_of(since))
}
