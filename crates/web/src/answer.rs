//! The answer to a request, and how it says no.

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
    /// The body.
    pub body: Bytes,
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
        Self { status, media_type, headers: Vec::new(), body: body.into() }
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
