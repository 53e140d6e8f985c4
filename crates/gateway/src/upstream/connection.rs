//! One connection to an upstream, and a count of what came back on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::Address;
use crate::body::RequestBody;
use crate::framing::head::{HEAD_BYTES_MAX, HEADERS_MAX};

/// A connection on which a request can be sent.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<RequestBody>,
    received: Arc<AtomicU64>,
    /// Whether it has served a request before.
    pub(crate) is_used: bool,
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("it did not answer in time")]
    Timeout,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

impl Connection {
    /// How many bytes have come back on it.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// Connects within `time`.
pub(crate) async fn connect(
    address: &Address,
    tls: Option<&TlsConnector>,
    time: Duration,
) -> Result<Connection, ConnectError> {
    timeout(time, dial(address, tls)).await.unwrap_or(Err(ConnectError::Timeout))
}

async fn dial(address: &Address, tls: Option<&TlsConnector>) -> Result<Connection, ConnectError> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    // A request must not wait for more.
    let _ = stream.set_nodelay(true);
    match tls {
        None => shake_hands(stream).await,
        Some(tls) => {
            let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
            shake_hands(tls.connect(name, stream).await?).await
        }
    }
}

async fn shake_hands<S>(stream: S) -> Result<Connection, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let received = Arc::new(AtomicU64::new(0));
    let counted = Counted { stream, received: received.clone() };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let (sender, connection) = builder.handshake(TokioIo::new(counted)).await?;
    tokio::spawn(async move {
        // Whoever waits for the answer is told how it ended.
        let _ = connection.with_upgrades().await;
    });
    Ok(Connection { sender, received, is_used: false })
}

/// A stream that counts what is read from it.
struct Counted<S> {
    stream: S,
    received: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, out);
        this.received.fetch_add((out.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
