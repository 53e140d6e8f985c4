//! A server of the test's own, which it may kill, and what is done meanwhile.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use std::{fs, thread};

use model::alert::Alert;
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::faults::row;
use super::*;
use crate::store::conformance::alert;
use crate::store::outbox::{DeliveryQuery, Outbox};

/// How long something may take that has to happen by itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A server of the test's own, which it may kill.
pub(super) struct OwnServer {
    folder: TempDir,
    pub(super) port: u16,
    child: Child,
    /// What else it is started with.
    arguments: Vec<OsString>,
}

impl OwnServer {
    /// Starts one; with a certificate and its key it speaks TLS.
    pub(super) fn start(pair: Option<[PathBuf; 2]>) -> Self {
        Self::start_with(pair.into_iter().flatten().map(PathBuf::into_os_string).collect())
    }

    /// Starts one that follows this one, and waits until it does.
    pub(super) fn start_standby(&self) -> Self {
        let standby = Self::start_with(vec!["--standby-of".into(), self.port.to_string().into()]);
        let began = Instant::now();
        while self.ask("SELECT state FROM pg_stat_replication").as_deref() != Some("streaming")
            || standby.ask("SELECT pg_is_in_recovery()").as_deref() != Some("t")
        {
            assert!(began.elapsed() < PATIENCE, "the standby does not follow");
            thread::sleep(Duration::from_millis(50));
        }
        standby
    }

    fn start_with(arguments: Vec<OsString>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let child = Self::spawn(&folder, port, &arguments);
        Self { folder, port, child, arguments }
    }

    fn spawn(folder: &TempDir, port: u16, arguments: &[OsString]) -> Child {
        let log = fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/own-postgres"))
            .arg(folder.path().join("server"))
            .arg(port.to_string())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again; what the killed one left behind may keep it from starting for a moment.
    pub(super) fn revive(&mut self) {
        let began = Instant::now();
        loop {
            self.child = Self::spawn(&self.folder, self.port, &self.arguments);
            while self.child.try_wait().unwrap().is_none() {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                    return;
                }
                assert!(began.elapsed() < PATIENCE, "it does not start again");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings::of_url(&format!("postgres://bartizan:test-only@127.0.0.1:{}/postgres", self.port)).unwrap()
    }

    /// Runs a statement beside the store, whether the server takes writes or not; returns its first value.
    pub(super) fn ask(&self, sql: &str) -> Option<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut config = tokio_postgres::Config::new();
            config.host("127.0.0.1").port(self.port).user("bartizan").password("test-only").dbname("postgres");
            let (client, connection) = config.connect(NoTls).await.ok()?;
            let driver = tokio::spawn(connection);
            let answers = client.simple_query(sql).await.unwrap();
            driver.abort();
            answers.into_iter().find_map(|it| match it {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
        })
    }

    /// Makes a standby the primary, and waits until it is.
    pub(super) fn promote(&self) {
        assert_eq!(self.ask("SELECT pg_promote()").as_deref(), Some("t"));
    }

    /// Opens the store as soon as the server is there.
    pub(super) fn open(&self, settings: &Settings) -> PostgresStore {
        let began = Instant::now();
        loop {
            match PostgresStore::open(settings) {
                Ok(store) => return store,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}: {:?}", std::error::Error::source(&error)),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// Ends the owner also when the test fails.
pub(super) struct Stop<'a>(pub(super) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Commits until it is told to stop; returns what was raised, and how many commits there were. Each is tried until it is done.
pub(super) fn commit_until(store: &PostgresStore, stop: &AtomicBool) -> (Vec<AlertId>, u64) {
    let mut lease = store.acquire(PartitionId(0)).unwrap();
    let (mut raised, mut number, began) = (Vec::new(), 0, Instant::now());
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        // A new alert, and one that grows.
        let alerts = [alert(number), Alert { count: number, ..alert(0) }];
        let outbox = alerts.each_ref().map(|it| row(&it.id));
        let to = Position(number);
        let commit = Commit { lease, to, alerts: &alerts, outbox: &outbox, proposals: &[], now: Timestamp(1) };
        let committed = loop {
            match store.commit(&commit) {
                Ok(committed) => break committed,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
            assert!(began.elapsed() < 4 * PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(20));
        };
        raised.extend(committed.raised);
        lease.position = to;
    }
    (raised, number)
}

/// Compares what is stored with what [`commit_until`] was told.
#[track_caller]
pub(super) fn check_commits(store: &PostgresStore, mut raised: Vec<AlertId>, commits: u64) {
    let mut expected: Vec<_> = (0..=commits).map(|it| alert(it).id).collect();
    expected.sort_unstable();
    raised.sort_unstable();
    assert_eq!(raised, expected, "each was raised once");
    assert_eq!(store.alert_ids(AlertId(0), AlertId(u128::MAX), usize::MAX).unwrap(), expected);
    assert_eq!(store.position(PartitionId(0)).unwrap(), Position(commits));
    assert_eq!(store.alert(alert(0).id).unwrap().unwrap().alert.count, commits);
    let posted = store.deliveries(&DeliveryQuery { limit: usize::MAX, ..DeliveryQuery::default() }).unwrap();
    assert_eq!(posted.len(), expected.len());
}
