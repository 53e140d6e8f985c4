//! A small HTTP/1.1 client: one connection kept, one request at a time, bodies of a known length.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// The admin key of every server of the proofs.
pub(crate) const KEY: &str = "proofs-proofs-proofs-proofs-proofs-1";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much is read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.head, String::from_utf8_lossy(&self.body))
    }
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|it| {
            let (found, value) = it.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends bytes as they are, on a connection of their own; returns what comes until the other end closes.
///
/// # Errors
///
/// What the system says.
pub(crate) fn exchange(port: u16, bytes: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    Ok(String::from_utf8_lossy(&received).into_owned())
}

/// A connection to a server.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Connects to a port of the loopback address.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    ///
    /// No whole answer came: whether the request took effect is not known then.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Reply> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.0.write_all(&request)?;
        self.read()
    }

    fn read(&mut self) -> io::Result<Reply> {
        let mut received = Vec::new();
        let end_of_head = loop {
            if let Some(at) = received.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more(&mut received)?;
        };
        let head = String::from_utf8_lossy(&received[..end_of_head]).into_owned();
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in `{head}`")))?;
        let mut reply = Reply { status, head, body: received.split_off(end_of_head) };
        let length = reply.header("content-length").and_then(|it| it.parse().ok());
        let length: usize = length.ok_or_else(|| io::Error::other(format!("no length in `{}`", reply.head)))?;
        while reply.body.len() < length {
            self.read_more(&mut reply.body)?;
        }
        Ok(reply)
    }

    fn read_more(&mut self, received: &mut Vec<u8>) -> io::Result<()> {
        let mut chunk = [0; CHUNK_BYTES];
        match self.0.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                received.extend_from_slice(&chunk[..count]);
                Ok(())
            }
        }
    }
}
