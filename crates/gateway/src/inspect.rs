//! Inspection of one request: its head and the beginning of its body, before anything is forwarded.

use std::cell::RefCell;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use attack::exception::Exceptions;
use attack::inspector::{Inspector, Scratch};
use attack::report::Report;
use attack::request::{Header, Request};
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Version};

use crate::crs::{Crs, Verdict};

/// How many bytes of a body are looked at unless told otherwise.
pub const BODY_BYTES: usize = 64 << 10;
/// Content types that nobody reads as text: their bodies are forwarded at once and not waited for.
const NOT_TEXT: [&str; 6] = ["application/grpc", "application/octet-stream", "audio/", "font/", "image/", "video/"];

thread_local! {
    /// Memory that a thread uses again.
    static MEMORY: RefCell<(Scratch, Report)> = RefCell::default();
}

/// Whether a body of this type is waited for, up to what is inspected of it.
#[must_use]
pub(crate) fn has_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    // An SVG image is markup.
    let is_other = |it: &&str| kind.get(..it.len()).is_some_and(|start| start.eq_ignore_ascii_case(it));
    !NOT_TEXT.iter().any(is_other) || is_other(&"image/svg")
}

/// The inspections there are.
pub(crate) struct Inspections<'a> {
    pub(crate) ours: &'a Inspector,
    /// What ours leaves out.
    pub(crate) exceptions: &'a Arc<Exceptions>,
    /// The Core Rule Set, where it is asked.
    pub(crate) crs: Option<&'a Crs>,
}

/// A request as it is inspected.
pub(crate) struct Subject<'a> {
    pub(crate) client: IpAddr,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) host: &'a str,
    /// As it is written in a request line.
    pub(crate) version: &'static str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Inspects a request without what exceptions cover; `None` when inspection failed by a mistake of ours.
pub(crate) fn inspect(inspections: &Inspections<'_>, subject: &Subject<'_>) -> Option<(Report, Option<Verdict>)> {
    let fields: Vec<Header<'_>> =
        subject.headers.iter().map(|(name, value)| Header { name: name.as_str(), value: value.as_bytes() }).collect();
    let request = Request {
        method: subject.method,
        target: subject.target.as_bytes(),
        version: subject.version,
        headers: &fields,
        body: subject.body,
        has_all_headers: true,
    };
    let inspected = catch_unwind(AssertUnwindSafe(|| {
        let report = MEMORY.with_borrow_mut(|(scratch, report)| {
            let except = (inspections.exceptions, Some(subject.host));
            inspections.ours.inspect_except(&request, except, scratch, report);
            std::mem::take(report)
        });
        (report, inspections.crs.map(|it| it.evaluate(&request, subject.client)))
    }));
    inspected.map_err(|_| tracing::error!("Inspection of a request failed by a mistake of ours")).ok()
}

/// The version as it is written in a request line.
pub(crate) const fn version_text(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn waits_for_text_and_not_for_pictures() {
        for (kind, expected) in [
            ("application/json", true),
            ("APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8", true),
            ("", true),
            ("odd", true),
            ("image/svg+xml", true),
            ("image/png", false),
            ("Application/gRPC+proto", false),
            ("application/octet-stream", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(has_text(&headers), expected, "{kind}");
        }
        assert!(has_text(&HeaderMap::new()));
    }
}
