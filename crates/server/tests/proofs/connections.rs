//! What connections cost: thousands of idle ones, and streams of HTTP/2 that are reset as fast as they are opened. Memory stays
//! bounded, and everybody else is answered meanwhile.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;

use crate::support::server::{Server, Start, new_folder};
use crate::support::tls;

/// How many sockets are opened and left alone, as far as the limit of open files allows.
const SOCKETS: u64 = 10_000;
/// How many files the proof itself may need beside them.
const FILES_SPARED: u64 = 500;
/// How many streams are opened and reset; far more than a connection survives.
const STREAMS: u32 = 100_000;
/// How many of them are sent at once.
const STREAMS_AT_ONCE: u32 = 500;
/// How long an answer may take while all that goes on.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// How much memory one idle socket may cost, and a flood of resets altogether.
const SOCKET_BYTES_MAX: u64 = 16 << 10;
const FLOOD_BYTES_MAX: u64 = 64 << 20;

/// What a client of HTTP/2 begins with: the preface and empty settings.
const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The codes of RFC 9113, section 6: a head that ends its stream, and the end of a stream before its time.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM_AND_HEADERS: u8 = 0x5;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of `GET path`, in HPACK without any table of its own.
fn head_of(path: &str, scheme: u8) -> Vec<u8> {
    let text = |it: &str| [&[u8::try_from(it.len()).expect("it is short")], it.as_bytes()].concat();
    [vec![0x82, scheme, 0x04], text(path), vec![0x01], text("localhost")].concat()
}

/// Opens streams and resets each at once, until the other end has had enough; returns how many it took.
fn reset_rapidly(stream: &mut (impl Read + Write), scheme: u8) -> u32 {
    if stream.write_all(BEGIN).is_err() {
        return 0;
    }
    let head = head_of("/healthz", scheme);
    for begin in (0..STREAMS).step_by(STREAMS_AT_ONCE as usize) {
        let mut flood = Vec::new();
        for number in begin..begin + STREAMS_AT_ONCE {
            flood.extend(frame(HEADERS, END_STREAM_AND_HEADERS, 2 * number + 1, &head));
            flood.extend(frame(RST_STREAM, 0, 2 * number + 1, &CANCEL));
        }
        if stream.write_all(&flood).and_then(|()| stream.flush()).is_err() {
            return begin;
        }
    }
    STREAMS
}

/// Whether the other end has closed by now, whatever it said before.
fn is_ended(stream: &mut impl Read) -> bool {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => ![ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()),
    }
}

#[track_caller]
fn check_answered(server: &Server) {
    let asked = Instant::now();
    assert_eq!(server.call("GET", "/healthz", "").status, 200);
    assert!(asked.elapsed() < ANSWERED_WITHIN, "{:?}", asked.elapsed());
}

/// A site of one answer; returns its port.
fn site() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|it| 0 < it) {
                    // Whoever asked may be gone.
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    port
}

#[test]
fn streams_that_are_reset_at_once_end_their_connection_and_harm_nobody() {
    let folder = new_folder();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
    let gateway = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let config = folder.path().join("connections.toml");
    let text = format!(
        "{}[gateway]\nlisten = \"127.0.0.1:{gateway}\"\nupstream = [\"http://127.0.0.1:{}\"]\n",
        tls::section(),
        site()
    );
    fs::write(&config, text).expect("it can be written");
    let server = Start { config: Some(config), ..Start::on(&folder.path().join("data")) }.must();
    let ask = || {
        let asked = Instant::now();
        assert!(tls::ask(server.port, "GET /healthz").starts_with("HTTP/1.1 200 "));
        assert!(asked.elapsed() < ANSWERED_WITHIN, "{:?}", asked.elapsed());
    };
    ask();
    let before = server.memory_bytes();
    for _ in 0..4 {
        let mut owner = tls::connect(server.port, b"h2");
        owner.sock.set_read_timeout(Some(ANSWERED_WITHIN)).expect("it can be set");
        let taken = reset_rapidly(&mut owner, 0x87);
        assert!(taken < STREAMS && is_ended(&mut owner), "the listener took {taken} streams");
        let mut visitor = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway)).expect("the gateway listens");
        visitor.set_read_timeout(Some(ANSWERED_WITHIN)).expect("it can be set");
        let taken = reset_rapidly(&mut visitor, 0x86);
        assert!(taken < STREAMS && is_ended(&mut visitor), "the gateway took {taken} streams");
        ask();
    }
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < FLOOD_BYTES_MAX, "{grown} bytes");
    server.stop();
}

#[test]
fn thousands_of_idle_sockets_of_one_address_leave_room_for_others() {
    let files = getrlimit(Resource::Nofile);
    // The server is a child, and gets the same limit.
    let raised = Rlimit { current: files.maximum, maximum: files.maximum };
    setrlimit(Resource::Nofile, raised).expect("up to the maximum everybody may");
    let sockets = SOCKETS.min(files.maximum.unwrap_or(u64::MAX).saturating_sub(FILES_SPARED));
    let folder = new_folder();
    let server = Start::on(&folder.path().join("data")).must();
    check_answered(&server);
    let before = server.memory_bytes();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there are threads");
    let began = Instant::now();
    let idle: Vec<TcpStream> = runtime.block_on(async {
        let mut idle = Vec::new();
        for _ in 0..sockets {
            let socket = TcpSocket::new_v4().expect("there are files");
            // All of one address, and not of that from which others ask.
            socket.bind((Ipv4Addr::new(127, 0, 0, 9), 0).into()).expect("all of 127.0.0.0/8 is ours");
            let stream = socket.connect(to).await.expect("the server listens");
            idle.push(stream.into_std().expect("it is one"));
        }
        idle
    });
    let opened = began.elapsed();
    for _ in 0..10 {
        check_answered(&server);
    }
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < sockets * SOCKET_BYTES_MAX, "{grown} bytes for {sockets} sockets, opened in {opened:?}");
    drop(idle);
    check_answered(&server);
    server.stop();
}
