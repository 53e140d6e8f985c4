//! Sockets: accepts connections, within bounds, until it is told to stop; then lets them finish what they began.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use gateway::crowd::Crowd;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::server::TlsStream;

use super::idle::{Idle, Kept};
use super::outgoing::Outgoing;
use super::service::Service;
use super::tls::Certificates;

/// How many connections may be open at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 10_000;
/// How many of them one address may have; what is beyond is closed at once. Nobody alone keeps all others out.
const CONNECTIONS_OF_ADDRESS_MAX: usize = CONNECTIONS_MAX / 2;
/// How many connections may wait to be accepted, as far as the system allows: with the usual 128 a burst of them loses its first
/// packets, and each is a second late.
const BACKLOG: u32 = 4096;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How large the head of a request may be.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How many headers a request may have.
const HEADERS_MAX: usize = 100;
/// How many streams one HTTP/2 connection may have.
const STREAMS_MAX: u32 = 100;
/// How many resets of streams a connection may have waiting: the answer to a flood of them is its end.
const RESETS_MAX: usize = 20;
/// How much of one HTTP/2 answer waits for a slow client, in bytes.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Says that it is time to stop.
pub(crate) type Stop = watch::Receiver<bool>;

/// Waits until it is time to stop.
pub(crate) async fn stopped(mut stop: Stop) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|it| *it).await;
}

/// Listens on an address; to be called in a runtime.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the process before, that are over, keep nobody from listening.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves an address until `stop`; returns once every connection has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Certificates>>,
    service: Arc<Service>,
    head_timeout: Duration,
    stop: Stop,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let crowd = Crowd::default();
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(stop.clone()) => break,
        };
        let (stream, peer) = match accepted {
            Ok(it) => it,
            Err(error) => {
                // Too many open files, most likely: it passes.
                tracing::warn!(reason = %error, "A connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(member) = crowd.join(peer.ip(), CONNECTIONS_OF_ADDRESS_MAX) else {
            tracing::debug!("A connection is closed: its address has as many as it may");
            continue;
        };
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        let (tls, service, stop) = (tls.as_ref().map(|it| it.acceptor()), service.clone(), stop.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, service, Some(peer), head_timeout, stop).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        connection_tls(stream, service, peer, head_timeout, stop).await;
                    }
                }
            }
            drop((member, permit));
        });
    }
    // Every permit back means every connection over.
    let _ = connections.acquire_many(CONNECTIONS_MAX as u32).await;
}

/// Serves the socket in the data folder, for the commands of whoever owns the folder.
pub(crate) async fn serve_owner(listener: UnixListener, service: Arc<Service>, stop: Stop) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(stop.clone()) => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        tokio::spawn(connection(stream, service.clone(), None, Duration::from_secs(10), stop.clone()));
    }
}

/// Serves a connection without TLS: HTTP/1, whose first head must come in time, too.
async fn connection<S>(stream: S, service: Arc<Service>, peer: Option<SocketAddr>, head_timeout: Duration, stop: Stop)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .pipeline_flush(true);
    let answer = service_fn(move |request| answer(service.clone(), peer, request));
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    tokio::select! {
        // How a connection ended is its sender's business.
        _ = connection.as_mut() => return,
        () = stopped(stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Serves a connection over TLS: HTTP/1 or HTTP/2, as was agreed on.
async fn connection_tls(
    stream: TlsStream<TcpStream>,
    service: Arc<Service>,
    peer: SocketAddr,
    head_timeout: Duration,
    stop: Stop,
) {
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        connection_http2(stream, service, peer, head_timeout, stop).await;
    } else {
        connection(stream, service, Some(peer), head_timeout, stop).await;
    }
}

/// Serves HTTP/2. A connection on which nothing is asked for as long as a head may take is ended.
async fn connection_http2(
    stream: TlsStream<TcpStream>,
    service: Arc<Service>,
    peer: SocketAddr,
    head_timeout: Duration,
    stop: Stop,
) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(Duration::from_secs(20));
    let idle = Idle::new();
    let watched = idle.clone();
    let answer = service_fn(move |request| {
        let (service, busy) = (service.clone(), watched.begin());
        async move {
            let answered = answer(service, Some(peer), request).await;
            answered.map(|it| it.map(|body| Kept::new(body, busy)))
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let is_idle = tokio::select! {
        // How a connection ended is its sender's business.
        _ = connection.as_mut() => return,
        () = idle.lasts(head_timeout) => true,
        () = stopped(stop) => false,
    };
    connection.as_mut().graceful_shutdown();
    if is_idle {
        // Whoever does not take the farewell is left.
        let _ = tokio::time::timeout(head_timeout, connection).await;
    } else {
        let _ = connection.await;
    }
}

async fn answer(
    service: Arc<Service>,
    peer: Option<SocketAddr>,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<Outgoing>, Infallible> {
    Ok(match peer {
        Some(peer) => service.answer(request, peer).await,
        None => service.answer_owner(request).await,
    })
}

/// Binds the socket `name` in `folder`, however long the folder's path is; only its owner can open it.
pub(crate) fn bind_owner(folder: &File, name: &str) -> io::Result<UnixListener> {
    let path = owner_path(folder, name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(listener)
}

/// A short path to a file in an open folder: the address of a socket holds 107 bytes only.
pub(crate) fn owner_path(folder: &File, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())
}
