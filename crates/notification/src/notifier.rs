//! All destinations together: built from their settings, asked who is told of an alert, started, listed, tried out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backends::store::Store;
use backends::store::outbox::{MessageId, OutboxRow};
use model::alert::Alert;
use model::decision::Decision;
use model::id::digest128;
use model::time::Timestamp;
use outbound::client::Client;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::channels::{CHANNELS, Channel};
use crate::message::Message;
use crate::route::{self, Route};
use crate::settings::{DESTINATIONS_MAX, SettingError, Settings, Surroundings};
use crate::worker::{Stats, Worker, now};

/// The settings of all destinations: by name, then by key.
pub type Written = BTreeMap<String, BTreeMap<String, String>>;

/// A destination.
struct Destination {
    name: Arc<str>,
    kind: &'static str,
    channel: Arc<dyn Channel>,
    wake: Arc<Notify>,
    stats: Arc<Mutex<Stats>>,
}

/// All destinations.
pub struct Notifier {
    destinations: Vec<Destination>,
    routes: Vec<Route>,
}

/// A destination as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The kind of its channel.
    pub kind: &'static str,
    /// Where it leads, without secrets.
    pub target: String,
    /// Who is told.
    pub route: Route,
    /// What its worker has done.
    pub stats: Stats,
}

/// What came of trying a destination out. It tells nothing of what the other side wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Whether the message was taken.
    pub is_sent: bool,
    /// The status, or why not.
    pub status: String,
    /// How long it took.
    pub latency: Duration,
}

impl Notifier {
    /// Makes all destinations.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn new(written: &Written, around: &Surroundings<'_>, client: &Arc<Client>) -> Result<Self, SettingError> {
        let mut notifier = Self { destinations: Vec::new(), routes: Vec::new() };
        for (name, values) in written {
            let settings = Settings::new(name, values, around)?;
            if DESTINATIONS_MAX <= notifier.destinations.len() {
                return Err(
                    settings.wrong("*", format!("is one destination too many: there may be {DESTINATIONS_MAX}"))
                );
            }
            let there = CHANNELS.iter().map(|it| it.name).collect::<Vec<_>>().join(", ");
            let kind = settings.required("type", &format!("one of {there}"))?;
            let unknown = || settings.wrong("type", format!("is `{kind}`, and must be one of {there}"));
            let kind = CHANNELS.iter().find(|it| it.name == kind).ok_or_else(unknown)?;
            let route = settings.route(kind.tells_closed)?;
            let channel = kind.build(&settings, client)?;
            settings.end()?;
            notifier.routes.push(route);
            notifier.destinations.push(Destination {
                name: Arc::from(name.as_str()),
                kind: kind.name,
                channel,
                wake: Arc::default(),
                stats: Arc::default(),
            });
        }
        Ok(notifier)
    }

    /// Whether there is no destination.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.destinations.is_empty()
    }

    /// Returns where all destinations lead, without secrets.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        self.destinations.iter().map(|it| it.channel.target()).collect()
    }

    /// Returns the messages for an alert that is new.
    #[must_use]
    pub fn raised(&self, alert: &Alert) -> Vec<OutboxRow> {
        route::raised(&self.routes, alert)
    }

    /// Returns the messages for a decision.
    #[must_use]
    pub fn decided(&self, decision: &Decision) -> Vec<OutboxRow> {
        route::decided(&self.routes, decision)
    }

    /// Returns the messages for an alert that somebody closed at `at`.
    #[must_use]
    pub fn closed(&self, alert: &Alert, at: Timestamp) -> Vec<OutboxRow> {
        route::closed(&self.routes, alert, at)
    }

    /// Says that something may be due.
    pub fn wake(&self) {
        self.destinations.iter().for_each(|it| it.wake.notify_one());
    }

    /// Starts a worker for each destination, until `stop` is true. What they hold is held under a name that begins with
    /// `owners`, so that the next process of the same installation can tell what this one held.
    pub fn start(
        self: &Arc<Self>,
        runtime: &Handle,
        store: &Arc<dyn Store>,
        owners: &str,
        stop: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        let notifier = Arc::downgrade(self);
        store.on_post(Arc::new(move || {
            if let Some(notifier) = notifier.upgrade() {
                notifier.wake();
            }
        }));
        let owner: Arc<str> = Arc::from(owners.to_owned() + &owner());
        let spawn = |it: &Destination| {
            let worker = Worker {
                destination: it.name.clone(),
                channel: it.channel.clone(),
                store: store.clone(),
                owner: owner.clone(),
                wake: it.wake.clone(),
                stats: it.stats.clone(),
            };
            runtime.spawn(worker.run(stop.clone()))
        };
        self.destinations.iter().map(spawn).collect()
    }

    /// Returns all destinations, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let listed = |(it, route): (&Destination, &Route)| Listed {
            name: it.name.to_string(),
            kind: it.kind,
            target: it.channel.target(),
            route: route.clone(),
            stats: it.stats.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.destinations.iter().zip(&self.routes).map(listed).collect()
    }

    /// Sends a message that tells of nothing; `None` when there is no such destination.
    pub async fn test(&self, name: &str) -> Option<Tried> {
        let destination = self.destinations.iter().find(|it| &*it.name == name)?;
        let began = Instant::now();
        let at = now();
        let id = MessageId(digest128(&[b"test", name.as_bytes(), owner().as_bytes(), &at.nanos().to_le_bytes()]));
        let message = Message::test(id, at);
        let time = destination.channel.manner().timeout;
        let sent = tokio::time::timeout(time, destination.channel.send(&message)).await;
        let (is_sent, status) = match sent {
            Ok(Ok(sent)) => (true, sent.0),
            Ok(Err(failure)) => (false, failure.reason),
            Err(_) => (false, format!("it took longer than {} s", time.as_secs())),
        };
        Some(Tried { is_sent, status, latency: began.elapsed() })
    }
}

/// A name that no other process has.
fn owner() -> String {
    let mut bytes = [0; 16];
    // Without chance the clock and the process tell two from one another.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = digest128(&[&now().nanos().to_le_bytes(), &std::process::id().to_le_bytes()]).to_le_bytes();
    }
    format!("{:032x}", u128::from_le_bytes(bytes))
}
