//! When somebody is missed, and that one alarm is raised for one silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backends::store::Store;
use backends::store::sqlite::SqliteStore;
use decision::set::Cursor;
use model::time::Timestamp;

use super::*;
use crate::edge::Settings;
use crate::pullers::{Identity, Kind, Pull};

const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

struct Bench {
    _folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
    edge: Arc<Enforcement>,
    clock: Arc<AtomicI64>,
    watch: Watch,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("store")).unwrap());
        let clock = Arc::new(AtomicI64::new(NOON.0));
        let telling = clock.clone();
        let clock_of_edge = Arc::new(move || Timestamp(telling.load(Ordering::Relaxed)));
        let settings = Settings { expands_ranges: true };
        let edge = Enforcement::open(Arc::default(), store.clone(), clock_of_edge, settings).unwrap();
        Self { _folder: folder, store, edge, clock, watch: Watch::default() }
    }

    fn at(&self, seconds: u64) {
        self.clock.store(NOON.plus(Duration::from_secs(seconds)).0, Ordering::Relaxed);
    }

    fn pull(&self, kind: Kind) {
        let identity = Identity { name: "edge".into(), address: "192.0.2.1".into(), kind };
        let told = Cursor { changed: 0, at: self.edge.now() };
        self.edge.pullers().pulled(Pull { identity, agent: "test".into(), told, lag: None, port: 1 });
    }

    #[track_caller]
    fn check(&self, seconds: u64, expected: usize) {
        self.at(seconds);
        assert_eq!(self.watch.look(&self.edge, &|_| Vec::new()).unwrap().len(), expected, "after {seconds} s");
    }
}

#[test]
fn one_that_stops_is_missed_once_and_the_alarm_closes_when_it_comes_again() {
    let bench = Bench::new();
    for pull in 0..=4 {
        bench.at(30 * pull);
        bench.pull(Kind::Crowdsec);
    }
    bench.check(120 + 90, 0);
    bench.check(120 + 91, 1);
    bench.check(400, 0);
    let alert = bench.store.alerts(&AlertQuery { limit: 10, ..AlertQuery::default() }).unwrap()[0].alert.id;
    assert_eq!(bench.store.alert(alert).unwrap().unwrap().alert.status, AlertStatus::New);
    // A start of ours is no reason to raise it again, nor to forget it.
    let bench = Bench { watch: Watch::default(), ..bench };
    bench.check(401, 0);
    bench.pull(Kind::Crowdsec);
    bench.check(402, 0);
    assert_eq!(bench.store.alert(alert).unwrap().unwrap().alert.status, AlertStatus::Closed);
}

#[test]
fn nobody_is_missed_for_the_time_in_which_we_were_away() {
    let bench = Bench::new();
    for pull in 0..=4 {
        bench.at(pull);
        bench.pull(Kind::Crowdsec);
    }
    bench.edge.pullers().note().unwrap();
    bench.at(3600);
    let edge = Enforcement::open(Arc::default(), bench.store.clone(), bench.edge.clock.clone(), bench.edge.settings);
    let bench = Bench { edge: edge.unwrap(), ..bench };
    bench.check(3660, 0);
    bench.check(3661, 1);
}

#[test]
fn a_quick_one_has_a_minute_and_who_asks_by_hand_is_not_missed() {
    let bench = Bench::new();
    for pull in 0..=4 {
        bench.at(pull);
        bench.pull(Kind::Nftables);
        bench.pull(Kind::CrowdsecLive);
    }
    (0..3).for_each(|_| bench.pull(Kind::List));
    bench.check(4 + 60, 0);
    bench.check(4 + 61, 1);
}
