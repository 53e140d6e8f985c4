//! The client of HTTP/1.1: one request, one answer, no redirects, no proxy, no cookies, nothing remembered but open
//! connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::{timeout, timeout_at};

use crate::dial::{DialError, Dialer};
use crate::target::Target;

/// How much of an answer is read, in bytes; the rest is never asked for.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How many headers an answer may have.
const HEADERS_MAX: usize = 64;
/// How large the head of an answer may be, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How many connections wait for their next request, for one target.
const IDLE_MAX: usize = 8;
/// How long they wait. Shorter than servers do, so that few are found closed.
const IDLE_TIME: Duration = Duration::from_secs(20);
/// How long the body of an answer may take whose status has said everything already.
const BODY_TIME: Duration = Duration::from_secs(2);
/// How long a receiver may ask us to wait: what it says beyond is a mistake or mischief.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Until there is a connection, with TLS.
    pub connect: Duration,
    /// From then until the head of the answer.
    pub answer: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(10) }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// How long the other side asks us to wait, at most [`RETRY_AFTER_MAX`].
    pub retry_after: Option<Duration>,
    /// The body, at most [`ANSWER_BYTES_MAX`] of it or what was asked for, and less when it did not come in time.
    pub body: Bytes,
    /// Whether there was more.
    pub is_cut: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no connection; nothing was sent.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It did not answer in time; it may have taken the request.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The connection broke, or what came back is no HTTP; it may have taken the request.
    #[error("the connection broke: {0}")]
    Broken(#[source] hyper::Error),
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(String),
}

type Sender = SendRequest<Full<Bytes>>;
/// Where a connection leads: whether by TLS, host, port.
type Place = (bool, String, u16);
/// A connection that waits, and since when.
type Idle = (Instant, Sender);

/// The client.
pub struct Client {
    dialer: Dialer,
    times: Times,
    idle: Mutex<HashMap<Place, Vec<Idle>>>,
}

impl Client {
    /// Makes a client that connects by `dialer`.
    #[must_use]
    pub fn new(dialer: Dialer, times: Times) -> Arc<Self> {
        Arc::new(Self { dialer, times, idle: Mutex::default() })
    }

    /// What it connects by, for protocols other than HTTP.
    #[must_use]
    pub const fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// How long a request takes at most.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.times.connect + self.times.answer + BODY_TIME
    }

    /// Sends `body` to `target` with `POST`.
    ///
    /// A redirect is an answer like any other. A connection that waited and turns out to be closed before anything was
    /// sent on it is replaced by a new one; nothing that may have arrived is sent again.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn post(
        &self,
        target: &Target,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Reply, SendError> {
        let mut request = request_of(Method::POST, target, headers, body)?;
        while let Some(mut sender) = self.idle_sender(target) {
            if sender.ready().await.is_err() {
                continue;
            }
            let sent = timeout(self.times.answer, sender.try_send_request(request)).await;
            match sent.map_err(|_| SendError::Timeout(self.times.answer))? {
                Ok(response) => return Ok(self.finish(target, sender, response).await),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Broken(error.into_error())),
                },
            }
        }
        let mut sender = self.connect(target).await?;
        let sent = timeout(self.times.answer, sender.send_request(request)).await;
        let response = sent.map_err(|_| SendError::Timeout(self.times.answer))?.map_err(SendError::Broken)?;
        Ok(self.finish(target, sender, response).await)
    }

    /// Gets what is at `target`, on a connection of its own: at most `bytes_max` of it, within `time` from the head on.
    ///
    /// A redirect is an answer like any other.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn fetch(&self, target: &Target, bytes_max: usize, time: Duration) -> Result<Reply, SendError> {
        let request = request_of(Method::GET, target, &[], Bytes::new())?;
        let mut sender = self.connect(target).await?;
        let sent = timeout(self.times.answer, sender.send_request(request)).await;
        let response = sent.map_err(|_| SendError::Timeout(self.times.answer))?.map_err(SendError::Broken)?;
        let status = response.status().as_u16();
        let retry_after = retry_after_of(response.headers());
        let (body, is_cut) = read(response.into_body(), bytes_max, time).await;
        Ok(Reply { status, retry_after, body, is_cut })
    }

    async fn connect(&self, target: &Target) -> Result<Sender, SendError> {
        let stream = self.dialer.dial(&target.host, target.port, target.is_tls, self.times.connect).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(SendError::Broken)?;
        tokio::spawn(async move {
            // Whoever waits for the answer is told how it ended.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Reads the body, as far as it is worth it: the status has said already what became of the request.
    async fn finish(&self, target: &Target, sender: Sender, response: Response<Incoming>) -> Reply {
        let status = response.status().as_u16();
        let retry_after = retry_after_of(response.headers());
        let (body, is_cut) = read(response.into_body(), ANSWER_BYTES_MAX, BODY_TIME).await;
        if !is_cut {
            self.keep(target, sender);
        }
        Reply { status, retry_after, body, is_cut }
    }

    fn idle_sender(&self, target: &Target) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.get_mut(&key_of(target))?;
        while let Some((since, sender)) = waiting.pop() {
            if since.elapsed() < IDLE_TIME && !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, target: &Target, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody came back for goes; so there are no more entries than targets of the last seconds.
        idle.retain(|_, waiting| {
            waiting.retain(|(since, it)| since.elapsed() < IDLE_TIME && !it.is_closed());
            !waiting.is_empty()
        });
        let waiting = idle.entry(key_of(target)).or_default();
        if waiting.len() < IDLE_MAX && !sender.is_closed() {
            waiting.push((Instant::now(), sender));
        }
    }
}

fn key_of(target: &Target) -> Place {
    (target.is_tls, target.host.clone(), target.port)
}

fn request_of(
    method: Method,
    target: &Target,
    headers: &[(HeaderName, HeaderValue)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, SendError> {
    let mut builder = Request::builder()
        .method(method)
        .uri(&target.path)
        .header(HOST, target.authority())
        .header(USER_AGENT, concat!("bartizan/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_LENGTH, body.len());
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(body)).map_err(|it| SendError::Request(it.to_string()))
}

/// Reads the wait in whole seconds; a date is not looked at, for that takes two clocks that agree.
///
/// Source: RFC 9110, section 10.2.3.
fn retry_after_of(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// Reads a body up to its limits; returns whether there may be more.
async fn read(mut body: Incoming, bytes_max: usize, time: Duration) -> (Bytes, bool) {
    let deadline = tokio::time::Instant::now() + time;
    let mut read = Vec::new();
    loop {
        match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                let room = bytes_max - read.len();
                read.extend_from_slice(&data[..data.len().min(room)]);
                if room < data.len() {
                    return (read.into(), true);
                }
            }
            Ok(None) => return (read.into(), false),
            Ok(Some(Err(_))) | Err(_) => return (read.into(), true),
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
