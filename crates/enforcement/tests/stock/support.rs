//! A namespace for each test, our routes on a port of it, and the clients as child processes.

use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backends::store::sqlite::SqliteStore;
use bytes::Bytes;
use decision::board::Board;
use enforcement::crowdsec;
use enforcement::edge::{Enforcement, Settings};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::decision::{Basis, Decision, DecisionId, Measure, Origin, Standing, Target};
use model::network::Network;
use model::time::{Timestamp, nanos_of};
use tempfile::TempDir;
use tokio::net::TcpListener;
use web::route::{Caller, Found, Request, Route, find};

/// Says that a process is the one in the namespace.
const INSIDE: &str = "BARTIZAN_STOCK_INSIDE";
/// The port of our API in the namespace: every namespace has all ports for itself.
pub(crate) const PORT: u16 = 7071;
/// How long a client may take for what it does at once on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a test in a namespace of its own: this very program again, for the one test. Returns whether this is the process
/// inside, which does the work.
pub(crate) fn is_inside(test: &str, needs: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        return true;
    }
    let missing = needs.iter().chain(&["ip", "unshare"]).find(|it| find_program(it).is_none());
    let is_root = fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0);
    if let Some(why) = missing.map(|it| format!("`{it}` is not installed")).or((!is_root).then(|| "not root".into())) {
        assert!(std::env::var_os("BARTIZAN_STOCK").is_none(), "{test} must run, and {why}");
        println!("{test} is left out: {why}");
        return false;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.arg("--net").arg(program);
    let status = command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, "1").status().unwrap();
    assert!(status.success(), "{test} failed in its namespace");
    false
}

fn find_program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().map(|it| Path::new(it).join(name)).find(|it| it.exists())
}

/// Runs a command that must succeed; returns its stdout.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Waits until `is_so`; says what was waited for when it never is.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, is_so);
}

/// The same with more patience.
#[track_caller]
pub(crate) fn wait_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < patience, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp(nanos_of(SystemTime::now().duration_since(UNIX_EPOCH).unwrap()))
}

/// A ban from now on; its number is also that of its change.
pub(crate) fn ban(id: u64, network: &str, lasts: Duration) -> Decision {
    Decision {
        id: DecisionId(id),
        target: Target::Network(Network::parse(network).unwrap()),
        measure: Measure::Ban,
        origin: Origin::Rule,
        reason: "Brute force attack".to_owned(),
        basis: Basis { rule_id: "bruteforce".to_owned(), ..Basis::default() },
        actor: "rule bruteforce".to_owned(),
        created_at: now(),
        expires_at: now().plus(lasts),
        standing: Standing::InForce,
        ended: None,
        is_synthetic: false,
        changed: id,
    }
}

/// Our API, served on the port.
pub(crate) struct Api {
    pub(crate) board: Arc<Board>,
    pub(crate) edge: Arc<Enforcement>,
    pub(crate) folder: TempDir,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Api {
    pub(crate) fn start(board: Arc<Board>) -> Self {
        Self::start_on(board, tempfile::tempdir().unwrap())
    }

    fn start_on(board: Arc<Board>, folder: TempDir) -> Self {
        let store = Arc::new(SqliteStore::open(&folder.path().join("store")).unwrap());
        let settings = Settings { expands_ranges: true };
        let edge = Enforcement::open(board.clone(), store, Arc::new(now), settings).unwrap();
        let routes = Arc::new(crowdsec::routes(&edge));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))).unwrap();
        runtime.spawn(serve(listener, routes));
        Self { board, edge, folder, runtime: Some(runtime) }
    }

    /// Ends it and begins anew with what the store kept of those who pull.
    pub(crate) fn restart(mut self) -> Self {
        self.edge.pullers().note().unwrap();
        drop(self.runtime.take());
        let Self { board, folder, .. } = self;
        Self::start_on(board, folder)
    }

    pub(crate) fn apply(&self, decisions: &[Decision]) {
        self.board.apply(decisions, now());
    }
}

async fn serve(listener: TcpListener, routes: Arc<Vec<Route>>) {
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let routes = routes.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let routes = routes.clone();
                async move { Ok::<_, Infallible>(answer(&routes, request, peer).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(
    routes: &[Route],
    request: hyper::Request<hyper::body::Incoming>,
    peer: SocketAddr,
) -> hyper::Response<BoxBody<Bytes, Infallible>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|it| it.to_bytes()).unwrap_or_default();
    let key = parts.headers.get("x-api-key").and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    let answer = match find(routes, &parts.method, parts.uri.path()) {
        _ if key.is_empty() => crowdsec::forbidden(),
        Found::Route(route, parameters) => {
            let request = Request {
                method: parts.method.clone(),
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                headers: parts.headers,
                body,
                peer,
                caller: Caller::Key(key.into()),
                parameters,
                id: "1".into(),
            };
            (route.handler)(request).await
        }
        _ => crowdsec::nothing(),
    };
    let mut bytes = answer.body.to_vec();
    if let Some(stream) = answer.stream {
        bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            stream
                .run(&mut |piece| {
                    bytes.extend_from_slice(&piece);
                    std::ops::ControlFlow::Continue(())
                })
                .unwrap();
            bytes
        })
        .await
        .unwrap();
    }
    if let Some(sent) = answer.sent {
        sent.tell();
    }
    let mut response = hyper::Response::new(Full::new(Bytes::from(bytes)).boxed());
    *response.status_mut() = answer.status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// A client as a process; ended when it is dropped.
pub(crate) struct Client(Child);

impl Client {
    /// Starts a program of the system with a configuration of this text in `folder`.
    pub(crate) fn start(program: &str, config: &str, folder: &Path) -> Self {
        let path = folder.join(format!("{program}.yaml"));
        fs::write(&path, config).unwrap();
        let log = fs::File::options().create(true).append(true).open(folder.join("client.log")).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&path).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(mut self) {
        run("kill", &["-TERM", &self.0.id().to_string()]);
        let started = Instant::now();
        while self.0.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
