//! The store in PostgreSQL: away at the start, killed while events come, and our own process killed beside it; nothing
//! acknowledged is lost, nothing counts twice, the alerts are those of an undisturbed run on SQLite.

use std::fs::{self, File};
use std::io::{Write, stderr};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::kill::{check_everything, undisturbed};
use crate::support::checks::check_same_alerts;
use crate::support::corpus::{BASE_MS, access_log};
use crate::support::sender::{Sender, Target, run_all};
use crate::support::server::{Server, Start, new_folder};

const SEED: u64 = 20_261_123;
/// How often the database is killed, and our process after it.
const CYCLES: u64 = 4;
/// How long something may take that has to happen by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A PostgreSQL of the proof's own.
struct Database {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Database {
    /// Prepares one that does not run yet.
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has one").port();
        Self { folder: new_folder(), port, child: None }
    }

    /// Starts it; what a killed one left behind may keep it from starting for a moment.
    fn start(&mut self) {
        let began = Instant::now();
        loop {
            self.spawn();
            let child = self.child.as_mut().expect("it was started");
            while child.try_wait().expect("it is ours").is_none() {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                    return;
                }
                assert!(began.elapsed() < PATIENCE, "the database does not start");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).expect("it is ours");
        let child = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/own-postgres"))
            .arg(self.folder.path().join("server"))
            .arg(self.port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("it is a file"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("it can be started"));
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the child is ours");
            child.wait().expect("the child is ours");
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until the server says that it is well, or that it is not.
#[track_caller]
fn wait_for_health(server: &Server, status: u16) {
    let began = Instant::now();
    loop {
        let health = server.call("GET", "/health", "");
        if health.status == status {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the health is not {status}: {health:?}, {}", server.tail());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_database_that_comes_late_and_is_killed_loses_and_doubles_nothing() {
    if std::env::var_os("BARTIZAN_TEST_POSTGRES").is_none() {
        assert!(std::env::var_os("BARTIZAN_TEST_SERVERS").is_none(), "there is no PostgreSQL, and one is promised");
        // Not captured by the runner: nobody shall think that it ran.
        let _ = writeln!(stderr(), "NOT RUN: it needs PostgreSQL; run it under `tests/with-servers postgres`");
        return;
    }
    let (folder, mut database) = (new_folder(), Database::new());
    let config = folder.path().join("bartizan.toml");
    let password = folder.path().join("password");
    fs::write(&password, "test-only\n").expect("the folder is ours");
    let text = format!(
        "[store]\nurl = \"postgres://bartizan@127.0.0.1:{}/postgres?schema=proof\"\npassword_file = {password:?}\n",
        database.port
    );
    fs::write(&config, text).expect("the folder is ours");
    let start = Start { config: Some(config), ..Start::on(&folder.path().join("data")) };
    // It waits for the database.
    let server = thread::scope(|scope| {
        let starting = scope.spawn(|| start.must());
        thread::sleep(Duration::from_millis(500));
        assert!(!starting.is_finished(), "it serves without its store");
        database.start();
        starting.join().expect("it starts")
    });
    let (mut senders, target) = (Sender::four(SEED), Target::default());
    target.moved_to(server.port);
    let server = run_all(&mut senders, &target, None, || {
        let mut server = server;
        for cycle in 0..CYCLES {
            thread::sleep(Duration::from_millis(200 + 100 * cycle));
            database.kill();
            wait_for_health(&server, 503);
            database.start();
            wait_for_health(&server, 200);
            thread::sleep(Duration::from_millis(200));
            server.kill();
            server = start.must();
            target.moved_to(server.port);
        }
        server
    });
    let alerts = check_everything(&server, &senders);
    check_same_alerts(&alerts, &undisturbed(&senders), "after kills of the database");
    let listed = server.get("/v1/alerts?limit=1");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    assert!(!folder.path().join("data/bartizan.db").exists(), "nothing is stored beside the database");
    // It ends when it is told to, though something waits for a database that is away.
    database.kill();
    let refused = access_log("last", BASE_MS + 3_600_000, "198.19.95.9", 200, "/.env");
    assert_eq!(server.call("POST", "/logs", &refused.body).status, 200);
    server.stop();
}
