//! Follows the stream of changes of a server: by its URL and a key, or by the socket in its data folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use enforcement::nftables::AGENT;
use enforcement::nftables::wanted::Change;
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
const WAIT_S: u64 = 25;
/// How long a connection may take, and an answer without a byte.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a line may be, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Where the changes come from.
pub(crate) enum Source {
    /// The server of a data folder of this host.
    Folder(PathBuf),
    /// A server somewhere.
    Url(Box<Url>),
}

/// A server somewhere.
pub(crate) struct Url {
    pub(crate) address: Address,
    pub(crate) key: String,
    /// The certificate authorities to believe, PEM; without, those of the system.
    pub(crate) ca: Option<PathBuf>,
    runtime: Runtime,
}

impl Url {
    pub(crate) fn new(address: Address, key: String, ca: Option<PathBuf>) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|it| Failure::failed(format!("no threads: {it}")))?;
        Ok(Self { address, key, ca, runtime })
    }
}

/// The changes of one answer, and the cursor behind them.
pub(crate) struct Heard {
    pub(crate) changes: Vec<Change>,
    pub(crate) cursor: String,
}

/// Reads lines as they come.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    changes: Vec<Change>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.rest.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|it| *it == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[begin..begin + length]);
            let change = Change::read(&line).ok_or_else(|| Failure::failed("it answered with what is no change"))?;
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
    fn finish(self) -> Result<Heard, Failure> {
        match self.changes.last() {
            Some(Change::Cursor(cursor)) if self.rest.is_empty() => {
                Ok(Heard { cursor: cursor.clone(), changes: self.changes })
            }
            _ => Err(Failure::failed("its answer was cut off")),
        }
    }
}

impl Source {
    /// Asks what changed behind `cursor`, everything when that is empty; waits when nothing did. Blocks.
    pub(crate) fn ask(&self, cursor: &str) -> Result<Heard, Failure> {
        let query = if cursor.is_empty() { String::new() } else { format!("?after={}&wait={WAIT_S}s", encode(cursor)) };
        let path = format!("/v1/decisions/changes{query}");
        let mut lines = Lines::default();
        match self {
            Self::Folder(folder) => Client::of_server(folder, AGENT)?.stream(&path, &mut |it| lines.take(it))?,
            Self::Url(url) => url.runtime.block_on(url.get(&path, &mut lines))?,
        }
        lines.finish()
    }
}

impl Url {
    async fn get(&self, path: &str, lines: &mut Lines) -> Result<(), Failure> {
        let connect = TcpStream::connect((self.address.host.as_str(), self.address.port));
        let stream = within(connect).await?.map_err(|it| self.failed(&it))?;
        if !self.address.is_tls {
            return self.get_on(stream, path, lines).await;
        }
        let tls = connector(self.ca.as_deref(), "--ca", &[b"http/1.1"]).map_err(|it| Failure::usage(it.to_string()))?;
        let name = ServerName::try_from(self.address.host.clone()).map_err(|it| self.failed(&it))?;
        let stream = within(tls.connect(name, stream)).await?.map_err(|it| self.failed(&it))?;
        self.get_on(stream, path, lines).await
    }

    async fn get_on<S>(&self, stream: S, path: &str, lines: &mut Lines) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) =
            within(http1::handshake(TokioIo::new(stream))).await?.map_err(|it| self.failed(&it))?;
        let driving = tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", format!("{}:{}", self.address.host, self.address.port))
            .header("user-agent", AGENT)
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
        Source::Url(_) => Path::new("bartizan-nftables.snapshot").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        let heard = |pieces: &[&str]| {
            let mut lines = Lines::default();
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
