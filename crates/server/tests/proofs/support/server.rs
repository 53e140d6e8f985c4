//! The program as a process: started on a data folder, killed or stopped, asked.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use super::http::{Connection, KEY, Reply};

/// How long a start may take; far more than promised, because the machine may be busy.
const START: Duration = Duration::from_secs(30);
/// How long a stop may take.
const STOP: Duration = Duration::from_secs(10);
/// How long detection may take to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);
/// How often a state that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The number of the signal that `abort` raises.
const SIGABRT: i32 = 6;

/// A folder that is removed when it is dropped.
pub(crate) fn new_folder() -> TempDir {
    tempdir().expect("a temporary folder can be made")
}

/// A command of the program with nothing of our own environment in it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
    for (name, _) in std::env::vars().filter(|it| it.0.starts_with("BARTIZAN")) {
        command.env_remove(name);
    }
    command.args(arguments).env("BARTIZAN_ADMIN_KEY", KEY).stdin(Stdio::null());
    command
}

/// Runs a command of the program to its end; it must succeed. Returns its stdout.
pub(crate) fn run(arguments: &[&str]) -> String {
    let done = command(arguments).output().expect("the program can be started");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("stdout is UTF-8")
}

/// How to start a server.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// The failpoint to end at, as `NAME:VISITS`.
    pub(crate) failpoint: Option<String>,
    /// The configuration file.
    pub(crate) config: Option<PathBuf>,
    /// What the process writes into its own log, as `BARTIZAN_LOG` says it.
    pub(crate) log: Option<&'static str>,
    /// Where it listens; 0 for any port that is free.
    pub(crate) port: u16,
}

impl Start {
    /// On a data folder, with nothing special.
    pub(crate) fn on(data: &Path) -> Self {
        Self { data: data.to_owned(), failpoint: None, config: None, log: None, port: 0 }
    }

    /// Starts the server and waits until it serves.
    ///
    /// # Errors
    ///
    /// The process ended before it served; with what.
    pub(crate) fn start(&self) -> Result<Server, ExitStatus> {
        let (mut child, ports) = self.spawn();
        match ports.recv_timeout(START) {
            Ok(port) => Ok(Server { child, port, start: self.clone() }),
            Err(RecvTimeoutError::Disconnected) => Err(child.wait().expect("the child is ours")),
            Err(RecvTimeoutError::Timeout) => {
                // It may end just now; either way it is not ready.
                let _ = child.kill();
                panic!("not ready in {START:?}: {}", self.tail());
            }
        }
    }

    /// Starts the server and kills it after `life`, whether it serves by then or not.
    pub(crate) fn live(&self, life: Duration, serves_at: impl FnOnce(u16)) {
        let born = Instant::now();
        let (mut child, ports) = self.spawn();
        if let Ok(port) = ports.recv_timeout(life) {
            serves_at(port);
            thread::sleep(life.saturating_sub(born.elapsed()));
        }
        let ended = child.try_wait().expect("the child is ours");
        assert!(ended.is_none(), "ended by itself with {ended:?}: {}", self.tail());
        child.kill().expect("the child is ours");
        child.wait().expect("the child is ours");
    }

    /// Starts it on a port of its own choice, which must be free.
    pub(crate) fn must_on(&self, port: u16) -> Server {
        Self { port, ..self.clone() }.must()
    }

    /// Starts the process; the port comes once it serves.
    fn spawn(&self) -> (Child, Receiver<u16>) {
        let listen = format!("127.0.0.1:{}", self.port);
        let data = self.data.to_str().expect("folders of the proofs have plain names");
        let mut command = command(&["up", "--data", data, "--listen", &listen]);
        if let Some(failpoint) = &self.failpoint {
            command.env("BARTIZAN_FAILPOINT", failpoint);
        }
        if let Some(log) = self.log {
            command.env("BARTIZAN_LOG", log);
        }
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        let complaints = File::options().create(true).append(true).open(self.complaints());
        let complaints = complaints.expect("a file beside the data folder can be made");
        command.stdout(Stdio::piped()).stderr(complaints);
        let mut child = command.spawn().expect("the program can be started");
        let ports = read_ports(&mut child);
        (child, ports)
    }

    /// The same; the process must not end.
    pub(crate) fn must(&self) -> Server {
        self.start().unwrap_or_else(|status| panic!("ended with {status} before it served: {}", self.tail()))
    }

    /// The file that takes stderr.
    pub(crate) fn complaints(&self) -> PathBuf {
        self.data.with_extension("stderr")
    }

    /// The end of what the process said on stderr.
    pub(crate) fn tail(&self) -> String {
        let text = fs::read(self.complaints()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(6000)..]).into_owned()
    }
}

/// Reads stdout to its end and hands over the port once it is told.
fn read_ports(child: &mut Child) -> Receiver<u16> {
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let address = line.strip_prefix("listening on ").and_then(|it| it.split_once("://127.0.0.1:"));
            let port = address.and_then(|(_, rest)| {
                rest.split(|it: char| !it.is_ascii_digit()).next().and_then(|it| it.parse().ok())
            });
            if let Some(port) = port {
                // Whoever gave up waiting needs no port.
                let _ = sender.send(port);
            }
        }
    });
    receiver
}

/// A server that serves, or did.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    start: Start,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// The end of what it said on stderr.
    pub(crate) fn tail(&self) -> String {
        self.start.tail()
    }

    /// Ends it as a power switch would: it gets no chance to do anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// How much memory it has in use, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the child is ours");
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).expect("the kernel says it");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
        kib << 10
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the child is ours");
    }

    /// Asks it to stop; it must end well and in time.
    pub(crate) fn stop(mut self) {
        let asked = Instant::now();
        self.terminate();
        let status = self.wait(STOP).unwrap_or_else(|| panic!("still runs {STOP:?} after SIGTERM"));
        assert!(status.success(), "ended with {status} after {:?}: {}", asked.elapsed(), self.start.tail());
    }

    /// Waits until it ends at its failpoint.
    pub(crate) fn wait_for_abort(mut self, limit: Duration) {
        let status = self.wait(limit);
        let failpoint = &self.start.failpoint;
        assert_eq!(
            status.and_then(|it| it.signal()),
            Some(SIGABRT),
            "failpoint {failpoint:?} never fired; {status:?}: {}",
            self.start.tail()
        );
    }

    /// Sends events, answered or not, and ends the process when it has not ended by itself within `limit`.
    pub(crate) fn call_and_end(mut self, body: &str, limit: Duration) {
        // The process may end in the middle of it.
        let _ = Connection::open(self.port).and_then(|mut it| it.call("POST", "/v1/events", body.as_bytes()));
        let _ = self.wait(limit);
    }

    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return Some(status);
            }
            if limit < started.elapsed() {
                return None;
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Calls a route on a connection of its own; there must be an answer.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Reply {
        let reply = Connection::open(self.port).and_then(|mut it| it.call(method, path, body.as_bytes()));
        reply.unwrap_or_else(|error| panic!("{method} {path}: {error}: {}", self.start.tail()))
    }

    /// Reads a JSON document; it must be 200.
    pub(crate) fn get(&self, path: &str) -> Value {
        let reply = self.call("GET", path, "");
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// Waits until everything stored is detected on; returns the ledger.
    pub(crate) fn settled_ledger(&self) -> Value {
        let started = Instant::now();
        loop {
            let ledger = self.get("/v1/ledger");
            if ledger["total"]["lag_events"] == 0 {
                return ledger;
            }
            assert!(started.elapsed() < CATCH_UP, "detection does not catch up: {ledger}: {}", self.start.tail());
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The canonical export of the alerts, of everything stored so far.
    pub(crate) fn canonical_export(&self) -> String {
        self.settled_ledger();
        let data = self.start.data.to_str().expect("folders of the proofs have plain names");
        run(&["export", "alerts", "--data", data, "--canonical"])
    }
}
