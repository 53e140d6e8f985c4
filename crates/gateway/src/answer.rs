//! The answers that the gateway gives itself: blocked, throttled, refused, not reached.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};

use crate::body::Outgoing;

/// The header with the id of a request, in requests and in answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) status: StatusCode,
    /// One sentence for whoever reads it.
    pub(crate) text: &'static str,
    pub(crate) retry_after: Option<Duration>,
}

impl Plain {
    pub(crate) const fn new(status: StatusCode, text: &'static str) -> Self {
        Self { status, text, retry_after: None }
    }

    pub(crate) const BLOCKED: Self = Self::new(StatusCode::FORBIDDEN, "This request was blocked.");
    pub(crate) const THROTTLED: Self = Self {
        retry_after: Some(Duration::from_secs(1)),
        ..Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests.")
    };
    pub(crate) const DOUBTFUL: Self = Self::new(StatusCode::BAD_REQUEST, "This request cannot be read without doubt.");
    pub(crate) const NO_ROUTE: Self = Self::new(StatusCode::NOT_FOUND, "Nothing is served under this address.");
    pub(crate) const BAD_GATEWAY: Self = Self::new(StatusCode::BAD_GATEWAY, "The site does not answer.");
    pub(crate) const TIMEOUT: Self = Self::new(StatusCode::GATEWAY_TIMEOUT, "The site did not answer in time.");
    pub(crate) const BODY_FAILED: Self = Self::new(StatusCode::BAD_REQUEST, "The body of the request is broken.");
    pub(crate) const BODY_SLOW: Self =
        Self::new(StatusCode::REQUEST_TIMEOUT, "The body of the request did not come in time.");
    pub(crate) const NOT_ALLOWED: Self = Self::new(StatusCode::METHOD_NOT_ALLOWED, "This method is not served here.");
    pub(crate) const TOO_LONG: Self =
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The body of the request is too long to be checked.");
    pub(crate) const UNKNOWN_TYPE: Self =
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body of the request is of a kind that cannot be checked.");
    pub(crate) const CLOSED: Self = Self {
        retry_after: Some(Duration::from_secs(5)),
        ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "Requests cannot be checked just now.")
    };

    /// Writes it: JSON for whoever asks for JSON and not for HTML, else a small page. Both name the id.
    pub(crate) fn write(self, headers: &HeaderMap, id: &str) -> Response<Outgoing> {
        let (kind, body) = if wants_json(headers) {
            let body = serde_json::json!({"status": self.status.as_u16(), "message": self.text, "request_id": id});
            ("application/json", body.to_string())
        } else {
            let title = self.status.canonical_reason().unwrap_or("Refused");
            ("text/html; charset=utf-8", page(title, self.text, id))
        };
        let mut response = Response::new(Outgoing::full(Bytes::from(body)));
        *response.status_mut() = self.status;
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(retry_after) = self.retry_after {
            // A part of a second is a second.
            let seconds = retry_after.as_millis().div_ceil(1000);
            out.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX).max(1)));
        }
        response
    }
}

/// The page; nothing in it comes from the request but the id, which is ours.
fn page(title: &str, text: &str, id: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
         <body style=\"font-family:sans-serif;max-width:40em;margin:4em auto\"><h1>{title}</h1>\n\
         <p>{text}</p>\n<p>If you think this is wrong, tell the owner of the site this id: <code>{id}</code></p></body></html>\n"
    )
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    (accept.contains("application/json") || accept.contains("+json")) && !accept.contains("text/html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &'static str, kind: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let response = Plain::BLOCKED.write(&headers, "0af7");
        assert_eq!((response.status().as_u16(), response.headers()[CONTENT_TYPE].to_str().unwrap()), (403, kind));
        assert!(response.into_body().text().contains("0af7"));
    }

    #[test]
    fn a_browser_gets_a_page_and_a_program_json() {
        check("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8");
        check("*/*", "text/html; charset=utf-8");
        check("application/json", "application/json");
        check("application/problem+json", "application/json");
        check("text/html, application/json", "text/html; charset=utf-8");
    }

    #[test]
    fn says_when_to_come_again() {
        let response = Plain::THROTTLED.write(&HeaderMap::new(), "1");
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (429, &HeaderValue::from_static("1"))
        );
    }
}
