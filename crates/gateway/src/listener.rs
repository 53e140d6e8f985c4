//! The listener: accepts connections within bounds until it is told to stop, then lets them finish what they began.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::client::is_trusted;
use crate::crowd::Crowd;
use crate::framing::guard::{Guard, Times};
use crate::framing::head::{HEAD_BYTES_MAX, HEADERS_MAX};
use crate::framing::link::Link;
use crate::gateway::Gateway;
use crate::idle::{Idle, Limits};
use crate::service::Origin;
use crate::stall::Streams;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many streams one HTTP/2 connection may have.
const STREAMS_MAX: u32 = 100;
/// How many resets of streams a connection may have waiting: the answer to a flood of them.
const RESETS_MAX: usize = 20;
/// How often a silent HTTP/2 connection is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How much of one HTTP/2 answer waits for a slow client, in bytes.
const SEND_BUFFER: usize = 64 << 10;
/// What an HTTP/2 connection without TLS begins with.
const PREFACE: &[u8] = b"PRI";

/// Serves `listener` until `stop`; returns once every connection has ended.
///
/// `tls` may change while it runs: later connections meet the newer certificate.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    tls: watch::Receiver<Option<TlsAcceptor>>,
    stop: watch::Receiver<bool>,
) {
    let connections_max = gateway.settings.connections_max;
    let connections = Arc::new(Semaphore::new(connections_max));
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
        let address = peer.ip().to_canonical();
        let is_proxy = is_trusted(&gateway.settings.trusted, address);
        let share = if is_proxy { usize::MAX } else { gateway.settings.connections_per_address };
        let Some(member) = crowd.join(address, share) else {
            tracing::debug!("A connection is closed: its address has as many as it may");
            continue;
        };
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        let (gateway, tls, stop) = (gateway.clone(), tls.borrow().clone(), stop.clone());
        tokio::spawn(async move {
            match tls {
                None => plain(gateway, stream, peer, stop).await,
                Some(tls) => over_tls(gateway, stream, peer, &tls, stop).await,
            }
            drop((member, permit));
        });
    }
    drop(listener);
    // Every permit back means every connection over.
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    let _ = connections.acquire_many(all).await;
}

async fn plain(gateway: Arc<Gateway>, stream: TcpStream, peer: SocketAddr, stop: watch::Receiver<bool>) {
    let mut first = [0; PREFACE.len()];
    let peeked = timeout(gateway.settings.times.head, stream.peek(&mut first)).await;
    // A connection that says nothing in time is closed without a word.
    let Ok(Ok(bytes)) = peeked else { return };
    if first[..bytes] == *PREFACE {
        serve_http2(gateway, stream, peer, false, stop).await;
    } else {
        serve_http1(gateway, stream, peer, false, stop).await;
    }
}

async fn over_tls(
    gateway: Arc<Gateway>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: &TlsAcceptor,
    stop: watch::Receiver<bool>,
) {
    let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(gateway, stream, peer, true, stop).await;
    } else {
        serve_http1(gateway, stream, peer, true, stop).await;
    }
}

async fn serve_http1<S>(gateway: Arc<Gateway>, stream: S, peer: SocketAddr, is_tls: bool, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let link = Arc::new(Link::default());
    let times = gateway.settings.times;
    let times = Times { head: times.head, keep_alive: times.keep_alive, write: times.idle };
    let stream = TokioIo::new(Guard::new(stream, link.clone(), times));
    let origin = Origin { peer: peer.ip(), is_tls, link: Some(link) };
    let answer = service_fn(move |request| {
        let (gateway, origin) = (gateway.clone(), origin.clone());
        async move { Ok::<_, Infallible>(gateway.answer(request, origin).await) }
    });
    let mut builder = http1::Builder::new();
    // The guard keeps the time, and refuses what is over the limits before the parser sees it. Answers to pipelined
    // requests are not gathered: whoever gathers takes an answer from upstream however slowly the client reads.
    builder.max_buf_size(2 * HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    // A client that has sent all it will send still waits for its answer.
    builder.half_close(true);
    let connection = builder.serve_connection(stream, answer).with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        // How a connection ended is its sender's business.
        _ = connection.as_mut() => return,
        () = stopped(stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn serve_http2<S>(gateway: Arc<Gateway>, stream: S, peer: SocketAddr, is_tls: bool, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let origin = Origin { peer: peer.ip(), is_tls, link: None };
    let (idle, times) = (Idle::new(), gateway.settings.times);
    let doing = idle.clone();
    let answer = service_fn(move |request| {
        let (gateway, origin, busy) = (gateway.clone(), origin.clone(), doing.begin());
        async move {
            let response = gateway.answer(request, origin).await;
            Ok::<_, Infallible>(response.map(|body| body.during(busy)))
        }
    });
    let mut builder = http2::Builder::new(Streams { time: times.idle });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_EVERY);
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let is_idle = tokio::select! {
        // How a connection ended is its sender's business.
        _ = connection.as_mut() => return,
        () = idle.lasts(Limits { first: times.head, next: times.keep_alive }) => true,
        () = stopped(stop) => false,
    };
    connection.as_mut().graceful_shutdown();
    if is_idle {
        // Whoever is silent need not hear it.
        let _ = timeout(times.head, connection).await;
    } else {
        let _ = connection.await;
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|it| *it).await;
}
