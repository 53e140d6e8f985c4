//! Follows the stream of changes of a server: by its URL and a key, or by the socket in its data folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use enforcement::nftables::AGENT;
use enforcement::{mirror, nftables};
use gateway::upstream::address::Address;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use outbound::tls::connector;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::rustls::pki_types::ServerName;
use web::query::encode;

use crate::client::Client;
use crate::failure::Failure;

/// How long the server is to wait for a change.
pub(crate) const WAIT: Duration = Duration::from_secs(25);
/// How long a connection may take, and an answer without a byte.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a line may be, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Where the changes come from.
pub(crate) enum Source {
    /// The server of a data folder of this host.
    Folder(PathBuf),
    /// A server somewhere, and what runs the connection to it.
    Url(Box<Url>, Runtime),
}

/// What a line of the stream becomes.
pub(crate) trait Line: Sized {
    /// Reads a line; `None` for what is none.
    fn read(line: &str) -> Option<Self>;

    /// The cursor, if that is what the line is.
    fn cursor(&self) -> Option<&str>;
}

impl Line for nftables::wanted::Change {
    fn read(line: &str) -> Option<Self> {
        Self::read(line)
    }

    fn cursor(&self) -> Option<&str> {
        if let Self::Cursor(it) = self { Some(it) } else { None }
    }
}

impl Line for mirror::Change {
    fn read(line: &str) -> Option<Self> {
        Self::read(line)
    }

    fn cursor(&self) -> Option<&str> {
        if let Self::Cursor(it) = self { Some(it) } else { None }
    }
}

/// A server somewhere.
pub(crate) struct Url {
    pub(crate) address: Address,
    pub(crate) key: String,
    /// The certificate authorities to believe, PEM; without, those of the system.
    pub(crate) ca: Option<PathBuf>,
    /// How that setting is called.
    pub(crate) ca_name: &'static str,
    /// How we call ourselves.
    pub(crate) agent: &'static str,
}

/// The changes of one answer, and the cursor behind them.
pub(crate) struct Heard<T> {
    pub(crate) changes: Vec<T>,
    pub(crate) cursor: String,
}

/// Reads lines as they come.
struct Lines<T> {
    rest: Vec<u8>,
    changes: Vec<T>,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { rest: Vec::new(), changes: Vec::new() }
    }
}

impl<T: Line> Lines<T> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.rest.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|it| *it == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[begin..begin + length]);
            let change = T::read(&line).ok_or_else(|| Failure::failed("it answered with what is no change"))?;
            self.changes.push(change);
            begin += length + 1;
        }
        self.rest.drain(..begin);
        if LINE_BYTES_MAX < self.rest.len() {
            return Err(Failure::failed("it answered with a line that has no end"));
        }
        Ok(())
    }

    /// An answer is whole when it ends with its cursor.
    fn finish(self) -> Result<Heard<T>, Failure> {
        match self.changes.last().and_then(Line::cursor) {
            Some(cursor) if self.rest.is_empty() => Ok(Heard { cursor: cursor.to_owned(), changes: self.changes }),
            _ => Err(Failure::failed("its answer was cut off")),
        }
    }
}

impl Source {
    /// Asks what changed behind `cursor`, everything when that is empty; waits when nothing did. Blocks.
    /// Tells how many packets were `dropped` since the last time, where that is known.
    pub(crate) fn ask<T: Line>(&self, cursor: &str, dropped: Option<u64>) -> Result<Heard<T>, Failure> {
        match self {
            Self::Folder(folder) => {
                let mut lines = Lines::default();
                Client::of_server(folder, AGENT)?.stream(&path_of(cursor, WAIT, dropped), &mut |it| lines.take(it))?;
                lines.finish()
            }
            Self::Url(url, runtime) => runtime.block_on(url.ask(cursor, WAIT, dropped)),
        }
    }
}

fn path_of(cursor: &str, wait: Duration, dropped: Option<u64>) -> String {
    let mut query = Vec::new();
    if !cursor.is_empty() {
        query.push(format!("after={}&wait={}s", encode(cursor), wait.as_secs()));
    }
    query.extend(dropped.map(|it| format!("dropped={it}")));
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/v1/decisions/changes{mark}{}", query.join("&"))
}

impl Url {
    /// Asks what changed behind `cursor`, everything when that is empty; the server waits up to `wait` when nothing did.
    pub(crate) async fn ask<T: Line>(
        &self,
        cursor: &str,
        wait: Duration,
        dropped: Option<u64>,
    ) -> Result<Heard<T>, Failure> {
        let mut lines = Lines::default();
        self.get(&path_of(cursor, wait, dropped), &mut lines).await?;
        lines.finish()
    }

    async fn get<T: Line>(&self, path: &str, lines: &mut Lines<T>) -> Result<(), Failure> {
        let connect = TcpStream::connect((self.address.host.as_str(), self.address.port));
        let stream = within(connect).await?.map_err(|it| self.failed(&it))?;
        if !self.address.is_tls {
            return self.get_on(stream, path, lines).await;
        }
        let tls =
            connector(self.ca.as_deref(), self.ca_name, &[b"http/1.1"]).map_err(|it| Failure::usage(it.to_string()))?;
        let name = ServerName::try_from(self.address.host.clone()).map_err(|it| self.failed(&it))?;
        let stream = within(tls.connect(name, stream)).await?.map_err(|it| self.failed(&it))?;
        self.get_on(stream, path, lines).await
    }

    async fn get_on<S, T: Line>(&self, stream: S, path: &str, lines: &mut Lines<T>) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) =
            within(http1::handshake(TokioIo::new(stream))).await?.map_err(|it| self.failed(&it))?;
        let driving = tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", format!("{}:{}", self.address.host, self.address.port))
            .header("user-agent", self.agent)
            .header("x-api-key", &self.key)
            .body(Empty::<Bytes>::new())
            .map_err(|it| Failure::usage(format!("the key cannot be sent: {it}")))?;
        let mut response = within(sender.send_request(request)).await?.map_err(|it| self.failed(&it))?;
        match response.status().as_u16() {
            200 => {}
            401 | 403 => return Err(Failure::failed("it takes no such key: one of scope bouncer or read is needed")),
            status => return Err(Failure::failed(format!("it answered with {status}"))),
        }
        while let Some(frame) = within(response.frame()).await? {
            if let Ok(bytes) = frame.map_err(|it| self.failed(&it))?.into_data() {
                lines.take(&bytes)?;
            }
        }
        drop(sender);
        driving.abort();
        Ok(())
    }

    fn failed(&self, error: &dyn std::error::Error) -> Failure {
        Failure::failed(format!("`{}` does not answer: {}", self.address, pipeline::ingest::chain(error)))
    }
}

async fn within<T>(doing: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, doing).await.map_err(|_| Failure::failed("the server does not answer in time"))
}

/// Where the snapshot lies when nothing else is said.
pub(crate) fn default_snapshot(source: &Source) -> PathBuf {
    match source {
        Source::Folder(folder) => folder.join("nftables.snapshot"),
        Source::Url(..) => Path::new("bartizan-nftables.snapshot").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        let heard = |pieces: &[&str]| {
            let mut lines = Lines::<mirror::Change>::default();
            pieces.iter().try_for_each(|it| lines.take(it.as_bytes()))?;
            lines.finish().map(|it| (it.changes.len(), it.cursor))
        };
        let end = "{\"change\":\"cursor\",\"cursor\":\"5-6\"}\n";
        assert_eq!(heard(&["{\"change\":\"re", "set\"}\n", end]).ok(), Some((2, "5-6".to_owned())));
        for pieces in [&["{\"change\":\"reset\"}\n"][..], &[], &[end, "{"], &["what?\n"], &[&end[..20]]] {
            assert!(heard(pieces).is_err(), "{pieces:?}");
        }
        let endless = "x".repeat(LINE_BYTES_MAX + 1);
        assert!(heard(&[&endless]).is_err());
    }
}
