//! The state that the console shows: of detection, the listener, the gateway and the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use console::status::{Bouncer, Raised, Status};
use enforcement::edge::Enforcement;
use enforcement::pullers::{Kind, silence_of};
use gateway::gateway::Gateway;
use model::severity::Severity;
use model::time::Timestamp;
use pipeline::progress::{Done, Progress};

use crate::brokers::Brokers;
use crate::http::deliveries::Deliveries;
use crate::http::service::InFlight;
use crate::in_force::Loaded;

/// Where the state that the console shows comes from.
pub(crate) struct StatusParts {
    pub(crate) progress: Arc<Progress>,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) in_flight: InFlight,
    pub(crate) snapshots: PathBuf,
    pub(crate) started_at: Timestamp,
    /// The gateway; `None` without one.
    pub(crate) gateway: Option<Arc<Gateway>>,
    pub(crate) enforcement: Arc<Enforcement>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) brokers: Arc<Brokers>,
}

/// How old the newest snapshot is; `None` without one, or when the clock was set back behind it.
fn snapshot_age(folder: &Path) -> Option<Duration> {
    let written = |it: std::fs::DirEntry| it.metadata().ok()?.modified().ok();
    let newest = std::fs::read_dir(folder).ok()?.filter_map(|it| written(it.ok()?)).max()?;
    newest.elapsed().ok()
}

fn status_of(counts: &gateway::gateway::Counts) -> console::status::Gateway {
    console::status::Gateway {
        requests: counts.requests.clone(),
        uninspected: counts.uninspected,
        queued: counts.queued,
        spilled: counts.spilled,
        lost: counts.lost,
        upstreams_up: counts.upstreams_up,
        upstreams_down: counts.upstreams_down,
        decisions: counts.decisions,
        inspections: counts.inspections,
        inspection_time: counts.inspection_time,
        remote: counts.remote.map(|it| console::status::Remote {
            decisions: it.decisions,
            heard_at: it.heard_at,
            age: it.age,
            is_enforced: it.is_enforced,
        }),
    }
}

/// Those who pull decisions, by key and door: of several with one key the worst.
fn bouncers_of(edge: &Enforcement) -> Vec<Bouncer> {
    let now = pipeline::ingest::now();
    let mut bouncers: BTreeMap<(String, String), Bouncer> = BTreeMap::new();
    for (puller, interval) in edge.pullers().all() {
        let age = now.since(puller.last_at);
        let is_regular = Kind::from_word(&puller.kind).is_some_and(Kind::is_regular);
        let is_silent =
            is_regular && interval.is_some_and(|it| silence_of(it) < edge.pullers().silence(puller.last_at, now));
        let lag = puller.lag_millis.map(Duration::from_millis);
        let key = (puller.name.clone(), puller.kind.clone());
        let found = Bouncer { name: puller.name, kind: puller.kind, age, lag, is_silent };
        let worst = bouncers.entry(key).or_insert_with(|| found.clone());
        worst.age = worst.age.max(age);
        worst.lag = worst.lag.max(lag);
        worst.is_silent |= is_silent;
    }
    bouncers.into_values().collect()
}

/// What keeps detection from doing what it should.
fn trouble_of(done: &Done, loaded: &Loaded) -> Option<String> {
    let is_waiting = loaded.is_waiting.load(Ordering::Relaxed);
    let words = done.trouble.as_ref().map(|_| "the store cannot be written");
    let words = words.or(is_waiting.then_some("the changed rules are not in force: the log cannot be written"));
    words.map(str::to_owned)
}

/// Gathers it whenever it is asked for.
pub(crate) fn status_source(parts: StatusParts) -> console::state::StatusSource {
    let StatusParts { progress, loaded, in_flight, snapshots, started_at, gateway, enforcement, deliveries, brokers } =
        parts;
    Arc::new(move || {
        let done = progress.done().clone();
        let raised = done.raised.iter().map(|((rule, detector, severity), count)| Raised {
            rule: rule.clone(),
            detector: detector.clone(),
            severity: Severity::from_word(severity).unwrap_or(Severity::Medium),
            count: *count,
        });
        Status {
            bouncers: bouncers_of(&enforcement),
            started_at,
            events_detected: done.events,
            late: done.late,
            ahead: done.ahead,
            evicted_keys: done.evicted_keys,
            rules_loaded: loaded.rules.load(Ordering::Relaxed),
            rules_suspended: loaded.suspended.load(Ordering::Relaxed),
            rules_refused: loaded.refused.load(Ordering::Relaxed),
            raised: raised.collect(),
            trouble: trouble_of(&done, &loaded),
            last_event_time: done.newest_event,
            latency: done.latency.clone(),
            snapshot_age: snapshot_age(&snapshots),
            requests_in_flight: in_flight.load(Ordering::Relaxed),
            matches: done.matches,
            deliveries: deliveries.shown(),
            sources: brokers.sources_shown(),
            forwards: brokers.forwards_shown(),
            gateway: gateway.as_ref().map(|it| status_of(&it.counts())),
        }
    })
}
