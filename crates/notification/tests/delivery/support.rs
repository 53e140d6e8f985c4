//! A store, destinations and workers for a test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backends::store::outbox::OutboxCounts;
use backends::store::sqlite::SqliteStore;
use backends::store::{Commit, Handled, Handling, Lease, Store};
use model::alert::{Alert, AlertStatus};
use model::entity::Entity;
use model::id::AlertId;
use model::place::{PartitionId, Position};
use model::severity::Severity;
use model::time::Timestamp;
use notification::notifier::{Notifier, Written};
use notification::settings::Surroundings;
use notification::worker::{Stats, now};
use outbound::client::{Client, Times};
use outbound::dial::Dialer;
use outbound::guard::{Guard, Range};
use outbound::resolve::System;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::receiver::Receiver;

/// What is soon, and what is never.
pub(crate) const SHORT: Duration = Duration::from_secs(5);
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A destination's name and settings.
pub(crate) type Destination = (String, BTreeMap<String, String>);

pub(crate) fn webhook(name: &str, receiver: &Receiver) -> Destination {
    let url = format!("http://127.0.0.1:{}/hook", receiver.port);
    let values = [
        ("type", "webhook"),
        ("url", url.as_str()),
        ("repeat", "0s"),
        ("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ];
    (name.to_owned(), values.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
}

pub(crate) fn with(mut destination: Destination, key: &str, value: &str) -> Destination {
    destination.1.insert(key.to_owned(), value.to_owned());
    destination
}

pub(crate) fn without(mut destination: Destination, key: &str) -> Destination {
    destination.1.remove(key);
    destination
}

pub(crate) fn alert(number: u64) -> Alert {
    let address = std::net::IpAddr::from([203, 0, 113, number as u8]);
    let time = Timestamp::from_seconds(1_700_000_000).unwrap();
    Alert {
        id: AlertId(u128::from(number) + 1000),
        rule_id: "bruteforce".into(),
        rule_version: "v1".into(),
        title: "Brute force attack".into(),
        kind: "bruteforce".into(),
        severity: Severity::High,
        confidence: 80,
        status: AlertStatus::New,
        entity: Entity::of_ip(address),
        client_ip: Some(address),
        dst_ip: None,
        count: 5,
        first_seen: time,
        last_seen: time,
        window_start: time,
        timestamp: time,
        details: "5 failed logins".into(),
        reason: "5 events within 60 s".into(),
        description: String::new(),
        detector: "rule:bruteforce".into(),
        source: "web".into(),
        country: None,
        user: None,
        matched: vec![],
        evidence: vec![],
        event: "{}".into(),
        synthetic: false,
        incarnation: 0,
    }
}

pub(crate) struct Setup {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) notifier: Arc<Notifier>,
    lease: Mutex<Lease>,
    _folder: tempfile::TempDir,
}

pub(crate) struct Running {
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for worker in self.workers {
            tokio::time::timeout(LONG, worker).await.expect("it stops").unwrap();
        }
    }
}

impl Setup {
    pub(crate) fn new(destinations: &[Destination]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("store.db")).unwrap());
        let guard = Guard::new(vec![Range::parse("127.0.0.1").unwrap()]);
        let times = Times { connect: Duration::from_secs(1), answer: Duration::from_secs(1) };
        let client = Client::new(Dialer::new(guard, Arc::new(System), None), times);
        let duration = |it: &str| {
            let number = |it: &str| it.parse().ok();
            it.strip_suffix("ms")
                .and_then(number)
                .map(Duration::from_millis)
                .or_else(|| it.strip_suffix('s').and_then(number).map(Duration::from_secs))
        };
        let around = Surroundings { variable: &|_| None, duration: &duration };
        let written: Written = destinations.iter().cloned().collect();
        let notifier = Arc::new(Notifier::new(&written, &around, &client).unwrap());
        let lease = Mutex::new(store.acquire(PartitionId(0)).unwrap());
        Self { store, notifier, lease, _folder: folder }
    }

    pub(crate) fn start(&self) -> Running {
        let (stop, stopping) = watch::channel(false);
        let workers = self.notifier.start(&tokio::runtime::Handle::current(), &self.store, "ours.", &stopping);
        Running { stop, workers }
    }

    pub(crate) fn commit(&self, alerts: &[Alert]) {
        let mut lease = self.lease.lock().unwrap();
        let outbox: Vec<_> = alerts.iter().flat_map(|it| self.notifier.raised(it)).collect();
        let to = Position(lease.position.0 + 1);
        self.store.commit(&Commit { lease: *lease, to, alerts, outbox: &outbox, proposals: &[], now: now() }).unwrap();
        lease.position = to;
    }

    pub(crate) fn close(&self, alert: &Alert) {
        let handling = Handling { status: AlertStatus::Closed, actor: String::new(), note: String::new(), at: now() };
        let rows = self.notifier.closed(alert, handling.at);
        assert_eq!(self.store.handle_and_post(alert.id, &handling, &rows).unwrap(), Handled::Changed);
    }

    pub(crate) fn stats(&self, name: &str) -> Stats {
        self.notifier.list().into_iter().find(|it| it.name == name).unwrap().stats
    }

    pub(crate) async fn wait_until_stats(&self, name: &str, is_so: impl Fn(&Stats) -> bool) {
        let began = Instant::now();
        while !is_so(&self.stats(name)) {
            assert!(began.elapsed() < LONG, "{:?}", self.stats(name));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn wait_until(&self, is_so: impl Fn(&OutboxCounts) -> bool) {
        let began = Instant::now();
        loop {
            let counts = self.store.outbox_counts().unwrap();
            if is_so(&counts.first().cloned().unwrap_or_default()) {
                return;
            }
            assert!(began.elapsed() < LONG, "{counts:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn wait_until_empty(&self) {
        self.wait_until(|it| it.waiting == 0).await;
    }
}
