//! A real RabbitMQ, a client of it that is not ours, and a way to it that can be cut.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use super::tls::fixture;

/// The address of a broker with a user that may do everything; `tests/with-servers rabbitmq` sets it.
const ADDRESS: &str = "BARTIZAN_TEST_RABBITMQ";
/// Set where servers must be there: a test does not pass without its own.
const SERVERS: &str = "BARTIZAN_TEST_SERVERS";
/// The interpreter that the packages of the system belong to.
const PYTHON: &str = "/usr/bin/python3";
/// The client.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proofs/support/pika_client.py");

/// What speaks TLS in front of a broker.
const TLS_WAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proofs/support/tls_way.py");

/// A broker.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) address: String,
}

impl Broker {
    /// The one of the environment; without it a test says that it did not run.
    pub(crate) fn find() -> Option<Self> {
        let address = std::env::var(ADDRESS).ok().filter(|it| !it.is_empty());
        let must = std::env::var(SERVERS).is_ok_and(|it| it == "1");
        assert!(address.is_some() || !must, "{ADDRESS} is not set, and {SERVERS}=1");
        if address.is_none() {
            // Past the harness, so that it is seen.
            let _ = writeln!(io::stderr(), "a proof did not run: {ADDRESS} is not set");
        }
        address.map(|address| Self { address })
    }

    /// Has the other client do something.
    #[track_caller]
    pub(crate) fn ask(&self, command: &str, asked: &Value) -> Value {
        let mut client = Command::new(PYTHON);
        client
            .args([CLIENT, &self.address, command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut client = client.spawn().expect("python3 can be started");
        // It reads all of it before it says anything.
        let stdin = client.stdin.take();
        stdin.map(|mut it| it.write_all(asked.to_string().as_bytes())).expect("stdin is piped").expect("it reads");
        let done = client.wait_with_output().expect("it is ours");
        assert!(done.status.success(), "{command} {asked}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("it answers with JSON")
    }

    /// The same beside this thread.
    pub(crate) fn ask_beside(&self, command: &'static str, asked: Value) -> thread::JoinHandle<Value> {
        let broker = self.clone();
        thread::spawn(move || broker.ask(command, &asked))
    }

    fn host_and_port(&self) -> &str {
        let rest = self.address.rsplit('@').next().unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }

    /// The address by way of a port on this host.
    pub(crate) fn through(&self, port: u16) -> String {
        self.address.replace(self.host_and_port(), &format!("127.0.0.1:{port}"))
    }
}

/// Starts a broker of a proof's own, and tells it things.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/own-rabbitmq");
/// How long a broker may take to come up; some seconds, unless the machine is busy.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// A broker of a proof's own, which it may kill.
pub(crate) struct OwnBroker {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl OwnBroker {
    /// Starts one, where there are brokers.
    pub(crate) fn start() -> Option<Self> {
        Broker::find()?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        drop(listener);
        let mut broker = Self { folder, port, child: None };
        broker.revive();
        Some(broker)
    }

    fn script(&self) -> Command {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).expect("it is ours");
        let mut script = Command::new(OWN);
        script.arg(self.folder.path().join("broker")).arg(self.port.to_string());
        script.stdin(Stdio::null()).stdout(log.try_clone().expect("it is a file")).stderr(log);
        script
    }

    /// Starts it, and waits until it is there; it has what it had.
    #[track_caller]
    pub(crate) fn revive(&mut self) {
        self.child = Some(self.script().spawn().expect("it can be started"));
        let began = Instant::now();
        // The port of the protocol opens last.
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(began.elapsed() < START_PATIENCE, "the broker does not start: {}", log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the child is ours");
            child.wait().expect("the child is ours");
        }
    }

    /// Has the broker close every connection.
    #[track_caller]
    pub(crate) fn close_connections(&self) {
        let closed = self.script().args(["control", "close_all_connections", "the proof wants it"]).status();
        assert!(
            closed.expect("it can be started").success(),
            "{:?}",
            fs::read_to_string(self.folder.path().join("log"))
        );
    }

    /// As others know it.
    pub(crate) fn broker(&self) -> Broker {
        Broker { address: format!("amqp://bartizan:test-only@127.0.0.1:{}/%2f", self.port) }
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.kill();
        // Without it the port mapper stays; nothing else is to be done about it here.
        let _ = self.script().arg("end").status();
    }
}

/// A way to the broker over TLS, with the first certificate of the fixtures.
pub(crate) struct TlsWay {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for TlsWay {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl TlsWay {
    pub(crate) fn to(broker: &Broker) -> Self {
        let mut way = Command::new(PYTHON);
        way.arg(TLS_WAY).args([fixture("first.crt"), fixture("first.key")]).arg(broker.host_and_port());
        let mut child = way.stdout(Stdio::piped()).spawn().expect("python3 can be started");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says its port");
        Self { child, port: line.trim().parse().expect("it is a port") }
    }
}

/// A way to the broker that can be cut, or fall silent.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
    is_silent: Arc<AtomicBool>,
}

impl Way {
    pub(crate) fn to(broker: &Broker) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let way = Self { port, open: Arc::default(), is_silent: Arc::default() };
        let (serving, target) = (way.clone(), broker.host_and_port().to_owned());
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let Ok(there) = TcpStream::connect(&target) else { continue };
                let mut open = serving.open.lock().expect("nobody panics with it");
                for stream in [&here, &there] {
                    open.push(stream.try_clone().expect("a socket can be cloned"));
                }
                drop(open);
                serving.carry(&here, &there);
                serving.carry(&there, &here);
            }
        });
        way
    }

    fn carry(&self, from: &TcpStream, to: &TcpStream) {
        let (mut from, mut to) = (from.try_clone().expect("it can"), to.try_clone().expect("it can"));
        let is_silent = self.is_silent.clone();
        thread::spawn(move || {
            let mut chunk = [0; 16 << 10];
            while let Ok(read) = from.read(&mut chunk) {
                while is_silent.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(20));
                }
                if read == 0 || to.write_all(&chunk[..read]).is_err() {
                    break;
                }
            }
            // The other end may be gone already.
            let _ = to.shutdown(Shutdown::Both);
        });
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().expect("nobody panics with it").drain(..) {
            // It may be gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets nothing through, and tells nobody.
    pub(crate) fn fall_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }
}
