//! A standby that takes over: what was acknowledged is there, and nobody believes its numbers of transactions.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use super::faults::{Cut, Proxy};
use super::own_server::{OwnServer, PATIENCE, Stop, check_commits, commit_until};
use super::*;
use crate::servers;
use crate::store::conformance::alert;

fn both(first: u16, second: &OwnServer) -> Settings {
    let hosts = [first, second.port].map(|it| ("127.0.0.1".to_owned(), it)).to_vec();
    Settings { hosts, ..second.settings() }
}

#[test]
fn a_standby_that_takes_over_has_all_that_was_acknowledged() {
    if servers::is_left_out(module_path!()) {
        return;
    }
    let mut primary = OwnServer::start(None);
    drop(primary.open(&primary.settings()));
    let standby = primary.start_standby();
    primary.ask("ALTER SYSTEM SET synchronous_standby_names TO '*'");
    primary.ask("SELECT pg_reload_conf()");
    let store = PostgresStore::open(&both(primary.port, &standby)).unwrap();
    let stop = AtomicBool::new(false);
    let (raised, commits, before) = thread::scope(|scope| {
        let owner = scope.spawn(|| commit_until(&store, &stop));
        let _stop = Stop(&stop);
        thread::sleep(Duration::from_millis(500));
        primary.kill();
        thread::sleep(Duration::from_millis(100));
        let before = standby.ask("SELECT position FROM partitions").unwrap().parse::<u64>().unwrap();
        standby.promote();
        let began = Instant::now();
        while !store.is_available() {
            assert!(began.elapsed() < PATIENCE, "it does not go on");
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::SeqCst);
        let (raised, commits) = owner.join().unwrap();
        (raised, commits, before)
    });
    assert!(0 < before && before < commits, "{before} of {commits} before the standby took over");
    check_commits(&store, raised, commits);
}

#[test]
fn a_commit_that_only_the_lost_server_knew_is_not_said_to_be_done() {
    if servers::is_left_out(module_path!()) {
        return;
    }
    let mut primary = OwnServer::start(None);
    drop(primary.open(&primary.settings()));
    let standby = primary.start_standby();
    let proxy = Proxy::start(primary.port);
    let store = PostgresStore::open(&both(proxy.port, &standby)).unwrap();
    let lease = store.acquire(PartitionId(0)).unwrap();
    let alerts = [alert(1)];
    let commit = Commit { lease, to: Position(7), alerts: &alerts, outbox: &[], proposals: &[], now: Timestamp(1) };
    // The standby has all that was before.
    let began = Instant::now();
    while standby.ask("SELECT count(*) FROM partitions").as_deref() != Some("1") {
        assert!(began.elapsed() < PATIENCE, "the standby lags");
        thread::sleep(Duration::from_millis(20));
    }
    proxy.set(Cut::RequestAndAll);
    let error = thread::scope(|scope| {
        let committing = scope.spawn(|| store.commit(&commit).unwrap_err());
        thread::sleep(Duration::from_millis(300));
        primary.kill();
        standby.promote();
        // Others take the numbers that the lost server had given.
        for _ in 0..20 {
            standby.ask("SELECT pg_current_xact_id()");
        }
        committing.join().unwrap()
    });
    assert!(error.is_transient(), "{error}");
    let reason = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(reason.ends_with("whether it was done is unknown"), "{reason}");
    assert_eq!(store.position(PartitionId(0)).unwrap(), Position(0));
    // Tried again, it is done.
    assert_eq!(store.commit(&commit).unwrap().raised, [alert(1).id]);
    assert_eq!(store.position(PartitionId(0)).unwrap(), Position(7));
}

#[test]
fn a_server_is_known_again_until_another_takes_over() {
    if servers::is_left_out(module_path!()) {
        return;
    }
    let mut primary = OwnServer::start(None);
    let name = |server: &OwnServer| {
        drop(server.open(&server.settings()));
        let connections = Connections::new(&server.settings()).unwrap();
        connections.connect_first().unwrap().server().unwrap().to_owned()
    };
    let first = name(&primary);
    let standby = primary.start_standby();
    primary.kill();
    primary.revive();
    assert_eq!(name(&primary), first);
    standby.promote();
    let second = name(&standby);
    assert_ne!(second, first);
    assert_eq!(second.split_once('/').map(|it| it.0), first.split_once('/').map(|it| it.0), "the cluster is the same");
}
