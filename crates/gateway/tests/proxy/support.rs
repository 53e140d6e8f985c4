//! A gateway with its upstream, a sink that remembers, and a client that writes what it is told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use decision::board::Board;
use gateway::decisions::Decisions;
use gateway::gateway::Gateway;
use gateway::listener::serve;
use gateway::route::{Mode, RouteSettings};
use gateway::settings::{Fail, PolicySettings, Settings};
use gateway::sink::{Sink, Submitted};
use gateway::upstream::address::Address;
use model::event::{EventView, Original, TextField};
use model::intake::{IngestError, Receipt, Submission};
use model::network::Network;
use outbound::tls::connector;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// After this time a test has failed.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// An event as the sink got it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) status: Option<u16>,
    pub(crate) response_bytes: Option<u64>,
    pub(crate) is_finding: bool,
    pub(crate) json: Value,
}

/// A sink that remembers, while it takes anything.
#[derive(Default)]
pub(crate) struct Memory {
    events: Mutex<Vec<Event>>,
    /// Whether it takes nothing.
    pub(crate) is_down: AtomicBool,
}

impl Sink for Memory {
    fn submit(&self, submission: Submission) -> Submitted {
        if self.is_down.load(Ordering::Relaxed) {
            return Box::pin(async { Err(IngestError::Unwritable) });
        }
        self.events.lock().unwrap().extend(submission.events.iter().map(event_of));
        Box::pin(async { Ok(Receipt::default()) })
    }
}

impl Memory {
    /// How many events it has.
    pub(crate) fn count(&self) -> usize {
        self.events.lock().unwrap().len()
    }
}

fn event_of(bytes: &[u8]) -> Event {
    let view = EventView::of(bytes).unwrap();
    let text = |it| view.text(it).unwrap_or_default().to_owned();
    let Original::Json(json) = view.original else { panic!("no JSON") };
    Event {
        id: view.id.to_string(),
        client: view.client_ip.unwrap().to_string(),
        method: text(TextField::Method),
        path: text(TextField::Path),
        host: text(TextField::Host),
        status: view.status_code,
        response_bytes: view.response_bytes,
        is_finding: view.is_finding(),
        json: serde_json::from_str(json).unwrap(),
    }
}

/// A gateway that runs.
pub(crate) struct Running {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) board: Arc<Board>,
    pub(crate) address: SocketAddr,
    pub(crate) sink: Arc<Memory>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) serving: tokio::task::JoinHandle<()>,
    /// Ends once the last event is handed over.
    pub(crate) recording: tokio::task::JoinHandle<()>,
    /// The certificate of later connections.
    pub(crate) tls: watch::Sender<Option<TlsAcceptor>>,
    /// What it began with.
    pub(crate) policy: PolicySettings,
    _folder: tempfile::TempDir,
}

/// Starts a gateway in front of `upstreams`, with what `change` makes of its settings.
pub(crate) async fn start(upstreams: &[SocketAddr], change: impl FnOnce(&mut Settings)) -> Running {
    start_with(upstreams, None, change).await
}

/// The same with TLS.
pub(crate) async fn start_with(
    upstreams: &[SocketAddr],
    tls: Option<TlsAcceptor>,
    change: impl FnOnce(&mut Settings),
) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path().join("spill"));
    let upstreams = upstreams.iter().map(|it| Address::parse(&format!("http://{it}")).unwrap()).collect();
    settings.policy.routes.push(RouteSettings {
        host: None,
        path: "/".to_owned(),
        upstreams,
        mode: Mode::Observe,
        threshold: 5,
        crs: true,
        unread: Fail::Open,
    });
    change(&mut settings);
    let policy = settings.policy.clone();
    let board = Arc::<Board>::default();
    let upstream_tls = connector(Some(&certificate("first")), "gateway.upstream_ca", &[b"http/1.1"]).unwrap();
    let gateway = Gateway::new(settings, Some(upstream_tls), Decisions::new(board.clone())).unwrap();
    let (stop, stopping) = watch::channel(false);
    let (finish, finishing) = watch::channel(false);
    let (tls, tls_now) = watch::channel(tls);
    let sink = Arc::new(Memory::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let run = gateway.clone().run(sink.clone(), finishing);
    let recording = tokio::spawn(async { run.await.unwrap() });
    let serve = serve(gateway.clone(), listener, tls_now, stopping);
    let serving = tokio::spawn(async move {
        serve.await;
        finish.send_replace(true);
    });
    Running { gateway, board, address, sink, stop, serving, recording, tls, policy, _folder: folder }
}

/// A certificate for `localhost`, PEM.
pub(crate) fn certificate(name: &str) -> PathBuf {
    fixtures().join(format!("{name}.crt"))
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/fixtures/tls-for-tests-only")
}

/// What accepts TLS with that certificate; `protocols` are offered.
pub(crate) fn acceptor(name: &str, protocols: &[&str]) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate(name)).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(fixtures().join(format!("{name}.key"))).unwrap();
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Trusts the loopback address as a proxy.
pub(crate) fn trust_loopback(settings: &mut Settings) {
    settings.trusted.push(Network::parse("127.0.0.1").unwrap());
}

impl Running {
    /// The answer to `request` on a connection of its own, as text; the connection is closed by the request or the gateway.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    /// A GET that closes its connection, with further header lines.
    pub(crate) async fn get(&self, path: &str, fields: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{fields}\r\n")).await
    }

    /// The same as [`Self::get`], and nothing when the connection is not taken.
    pub(crate) async fn connect_and_get(&self) -> String {
        let mut stream = self.connect().await;
        let request = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
        match stream.write_all(request.as_bytes()).await {
            Ok(()) => read_all(&mut stream).await,
            Err(_) => String::new(),
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The first `count` events, once they are there.
    pub(crate) async fn events(&self, count: usize) -> Vec<Event> {
        let found = timeout(SOON, async {
            loop {
                let events = self.sink.events.lock().unwrap().clone();
                if count <= events.len() {
                    return events;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("there are not {count} events"))
    }
}

/// Everything until the other end closes.
pub(crate) async fn read_all(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut out = Vec::new();
    // A reset after the last byte is an end like another.
    let _ = timeout(SOON, stream.read_to_end(&mut out)).await.expect("the connection must end");
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads until `end` was read.
pub(crate) async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut out = Vec::new();
    let reading = async {
        while !out.ends_with(end.as_bytes()) {
            match stream.read_u8().await {
                Ok(byte) => out.push(byte),
                Err(_) => break,
            }
        }
    };
    let is_in_time = timeout(SOON, reading).await.is_ok();
    let text = String::from_utf8_lossy(&out).into_owned();
    assert!(is_in_time, "`{end}` did not come, but: {text}");
    text
}

/// What an upstream does with a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// Answers each request with what it got, its head and its body.
    Echo,
    /// Answers each request with 503.
    Sick,
    /// Answers the first request, and closes when the second comes.
    DieSecond,
    /// Never answers.
    Silent,
    /// Answers with 101 and sends back what it gets.
    Switch,
    /// Sends a chunk, and the next once it is told by a byte on the channel.
    Stream,
}

/// An upstream.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// How many connections it has seen.
    pub(crate) connections: Arc<Mutex<usize>>,
    /// Lets [`Does::Stream`] go on.
    pub(crate) go_on: watch::Sender<bool>,
}

/// Starts an upstream.
pub(crate) async fn upstream(does: Does) -> Upstream {
    upstream_with(does, None).await
}

/// Starts an upstream that may speak TLS.
pub(crate) async fn upstream_with(does: Does, tls: Option<TlsAcceptor>) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(Mutex::new(0));
    let (go_on, told) = watch::channel(false);
    let count = connections.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            *count.lock().unwrap() += 1;
            let (tls, told) = (tls.clone(), told.clone());
            tokio::spawn(async move {
                match tls {
                    Some(tls) => serve_upstream(tls.accept(stream).await.unwrap(), does, told).await,
                    None => serve_upstream(stream, does, told).await,
                }
            });
        }
    });
    Upstream { address, connections, go_on }
}

async fn serve_upstream<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, does: Does, mut told: watch::Receiver<bool>) {
    for number in 0.. {
        let Some((head, body)) = read_request(&mut stream).await else { return };
        match does {
            Does::DieSecond if 0 < number => return,
            Does::Echo | Does::DieSecond => {
                let text = format!("{head}{body}");
                let answer = format!("HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Does::Sick => {
                stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            }
            Does::Silent => std::future::pending().await,
            Does::Switch => {
                let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
                let (mut read, mut write) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                return;
            }
            Does::Stream => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                let _ = told.wait_for(|it| *it).await;
                stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
            }
        }
    }
}

/// Reads a request; of a chunked body what was sent, chunks and all.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.ok()?));
    }
    let lower = head.to_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        let mut body = String::new();
        while !body.ends_with("0\r\n\r\n") {
            body.push(char::from(stream.read_u8().await.ok()?));
        }
        return Some((head, body));
    }
    let length = lower.split("content-length: ").nth(1).and_then(|it| it.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("no answer: `{answer}`"))
}

/// The value of a header field of an answer.
pub(crate) fn field(answer: &str, name: &str) -> Option<String> {
    let head = answer.split("\r\n\r\n").next()?;
    let of_name = |line: &str| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    head.lines().find_map(of_name)
}
