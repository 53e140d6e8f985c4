//! A resolver of our own, which answers as a test says: also as it should not.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;

/// The type of a question for a name.
pub(crate) const PTR: u16 = 12;
/// The type of a question for an IPv4 address.
pub(crate) const A: u16 = 1;

/// What a question is answered with.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Names.
    Names(Vec<&'static str>),
    /// Addresses.
    Addresses(Vec<Ipv4Addr>),
    /// No such name.
    NoName,
    /// The resolver cannot say.
    Fails,
    /// Nothing.
    Silence,
    /// First an answer with another id, which says this; then the right one, which says that.
    Guessed(Box<Self>, Box<Self>),
    /// Over UDP that it does not fit, over TCP this.
    Truncated(Box<Self>),
}

/// Says what a question for a name and a type is answered with.
pub(crate) type Answers = dyn Fn(&str, u16) -> Reply + Send + Sync;

/// Starts a resolver on a port of its own, over UDP and TCP; returns its address. It lives as long as the process.
pub(crate) fn start(answers: Arc<Answers>) -> SocketAddr {
    // Both protocols need the same number; now and then another process has one of them.
    let (udp, tcp) = (0..100)
        .find_map(|_| {
            let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
            Some((UdpSocket::bind(tcp.local_addr().ok()?).ok()?, tcp))
        })
        .expect("a port is free");
    let address = tcp.local_addr().expect("it has one");
    let over_tcp = answers.clone();
    thread::spawn(move || serve_udp(&udp, answers.as_ref()));
    thread::spawn(move || serve_tcp(&tcp, over_tcp.as_ref()));
    address
}

fn serve_udp(socket: &UdpSocket, answers: &Answers) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let query = &buffer[..length];
        let (name, kind) = question(query);
        let send = |message: Vec<u8>| {
            // Whoever asked may have given up.
            let _ = socket.send_to(&message, from);
        };
        match answers(&name, kind) {
            Reply::Silence => {}
            Reply::Truncated(_) => send(message(query, 0x0200, &Reply::NoName)),
            Reply::Guessed(wrong, right) => {
                let mut guess = message(query, 0, &wrong);
                guess[0] ^= 0x55;
                send(guess);
                send(message(query, 0, &right));
            }
            reply => send(message(query, 0, &reply)),
        }
    }
}

fn serve_tcp(listener: &TcpListener, answers: &Answers) {
    for mut stream in listener.incoming().map_while(Result::ok) {
        let mut length = [0; 2];
        let mut query = Vec::new();
        let is_read = stream.read_exact(&mut length).is_ok() && {
            query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).is_ok()
        };
        if !is_read {
            continue;
        }
        let (name, kind) = question(&query);
        let Reply::Truncated(reply) = answers(&name, kind) else { continue };
        let message = message(&query, 0, &reply);
        let length = (message.len() as u16).to_be_bytes();
        // Whoever asked may have given up.
        let _ = stream.write_all(&[&length[..], &message].concat());
    }
}

/// Name and type that a query asks for.
fn question(query: &[u8]) -> (String, u16) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]))
}

/// Writes the answer to a query; every record stands under the asked name.
fn message(query: &[u8], flags: u16, reply: &Reply) -> Vec<u8> {
    let code = match reply {
        Reply::NoName => 3,
        Reply::Fails => 2,
        _ => 0,
    };
    let records: Vec<(u16, Vec<u8>)> = match reply {
        Reply::Names(names) => names.iter().map(|it| (PTR, wire(it))).collect(),
        Reply::Addresses(them) => them.iter().map(|it| (A, it.octets().to_vec())).collect(),
        _ => Vec::new(),
    };
    let mut out = query.to_vec();
    let code = if flags == 0 { code } else { 0 };
    out[2..4].copy_from_slice(&(0x8180 | flags | code).to_be_bytes());
    out[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    for (kind, data) in records {
        // The name of the question, by its place.
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 14, 16]);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
    }
    out
}

fn wire(name: &str) -> Vec<u8> {
    name.split('.').flat_map(|it| std::iter::once(it.len() as u8).chain(it.bytes())).chain([0]).collect()
}

/// The name under which the name of an address is asked for.
pub(crate) fn reverse(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { panic!("these tests know IPv4 only") };
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}
