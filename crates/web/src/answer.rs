//! The answer to a request, and how it says no.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::query::BadParameter;

/// The media type of JSON.
pub const JSON: &str = "application/json";
/// The media type of a problem (RFC 9457).
pub const PROBLEM: &str = "application/problem+json";
/// The media type of plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The media type; empty for none.
    pub media_type: &'static str,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty when it is a stream.
    pub body: Bytes,
    /// What makes the body piece by piece, when it may be too large to be in memory at once.
    pub stream: Option<Stream>,
    /// What is called once the whole body was handed to the connection; never for `HEAD`.
    pub sent: Option<Sent>,
}

/// Is told that a body went out.
#[derive(Clone)]
pub struct Sent(Arc<dyn Fn() + Send + Sync>);

impl Sent {
    /// Makes one that calls `tell`; it must not block.
    pub fn new(tell: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Says that the body went out.
    pub fn tell(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent")
    }
}

/// Why a stream ended before its end; the log knows more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rest could not be read")]
pub struct Broken;

/// Takes a piece of a body; breaks when nobody wants the rest.
pub type Piece<'a> = dyn FnMut(Bytes) -> ControlFlow<()> + 'a;

/// What makes the pieces.
type Make = dyn Fn(&mut Piece<'_>) -> Result<(), Broken> + Send + Sync;

/// Makes a body piece by piece. It blocks, so it runs on a thread that may.
#[derive(Clone)]
pub struct Stream(Arc<Make>);

impl Stream {
    /// Makes a stream of what `make` hands to its argument.
    pub fn new(make: impl Fn(&mut Piece<'_>) -> Result<(), Broken> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// Hands every piece to `take`, until it breaks.
    ///
    /// # Errors
    ///
    /// [`Broken`] when the rest cannot be made: what was handed out is not the whole.
    pub fn run(&self, take: &mut Piece<'_>) -> Result<(), Broken> {
        (self.0)(take)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field or parameter.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Answer {
    /// Makes an answer.
    #[must_use]
    pub fn new(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, media_type, headers: Vec::new(), body: body.into(), stream: None, sent: None }
    }

    /// Answers with JSON.
    #[must_use]
    pub fn json(status: StatusCode, body: &Value) -> Self {
        Self::new(status, JSON, body.to_string())
    }

    /// Answers 200 with plain text.
    #[must_use]
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, TEXT, body)
    }

    /// Answers 200 with a body that is made while it is sent.
    #[must_use]
    pub fn streamed(media_type: &'static str, stream: Stream) -> Self {
        Self { stream: Some(stream), ..Self::new(StatusCode::OK, media_type, Bytes::new()) }
    }

    /// Sends a browser elsewhere, with `GET`.
    #[must_use]
    pub fn see_other(location: &str) -> Self {
        Self::new(StatusCode::SEE_OTHER, "", Bytes::new()).with(hyper::header::LOCATION, location)
    }

    /// Answers with a problem (RFC 9457); `detail` says what would do.
    #[must_use]
    pub fn problem(status: StatusCode, detail: &str) -> Self {
        Self::problem_with(status, detail, &[])
    }

    /// Answers with a problem that names fields.
    #[must_use]
    pub fn problem_with(status: StatusCode, detail: &str, faults: &[Fault]) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        let mut body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail});
        if !faults.is_empty() {
            body["errors"] = faults.iter().map(|it| json!({"field": it.field, "message": it.message})).collect();
        }
        Self::new(status, PROBLEM, body.to_string())
    }

    /// Answers that a parameter cannot be used.
    #[must_use]
    pub fn bad_parameter(bad: &BadParameter) -> Self {
        let fault = Fault { field: bad.name.clone(), message: bad.message.clone() };
        Self::problem_with(StatusCode::BAD_REQUEST, &bad.message, &[fault])
    }

    /// Has `sent` told once the whole body was handed to the connection.
    #[must_use]
    pub fn tells(mut self, sent: Sent) -> Self {
        self.sent = Some(sent);
        self
    }

    /// Adds a header; a value that no header can have is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Says when to try again, in whole seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with(hyper::header::RETRY_AFTER, &seconds.max(1).to_string())
    }

    /// Returns a header that was added.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers.iter().find(|it| it.0 == name).map(|it| &it.1)
    }
}
