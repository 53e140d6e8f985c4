//! Events over HTTP: the routes of two of the systems, and our own.
//!
//! A handler reads the body, hands the events to the sink and answers once they are durable. What a sender is told
//! to be wrong is counted as rejected; a request without records that can be told apart as refused.

mod events;
mod ingest;
mod logs;
mod once;
mod record;

use std::sync::Arc;

use model::intake::IngestError;
use web::answer::{JSON, PROBLEM};
use web::route::{Anonymous, Permission, QueryParameter, Response, Route};

use crate::sink::Sink;

/// How many records one body may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    /// A body with more is refused whole, with 413.
    pub records_max: usize,
}

impl Default for RecordLimits {
    /// 100,000 records.
    fn default() -> Self {
        Self { records_max: 100_000 }
    }
}

/// Returns the routes `POST /logs`, `POST /ingest` and `POST /v1/events`.
#[must_use]
pub fn routes(sink: Arc<dyn Sink>, limits: RecordLimits) -> Vec<Route> {
    let (for_logs, for_ingest, for_events) = (sink.clone(), sink.clone(), sink);
    vec![
        Route::post("/logs", move |request| logs::answer(for_logs.clone(), request))
            .for_whom(Permission::Ingest)
            .without_key_by(Anonymous::Ingest)
            .about("Takes one access log; answers once it is durable.")
            .with_body("AccessLog")
            .answers(LOGS),
        Route::post("/ingest", move |request| ingest::answer(for_ingest.clone(), request))
            .for_whom(Permission::Ingest)
            .without_key_by(Anonymous::Ingest)
            .about("Takes one cloud event, AnormalEvent or log event, told apart by its keys.")
            .with_query(INGEST_QUERY)
            .with_body("IngestEvent")
            .answers(INGEST),
        Route::post("/v1/events", move |request| events::answer(for_events.clone(), limits, request))
            .for_whom(Permission::Ingest)
            .about("Takes events of any form: an object, an array, or NDJSON. A bad record does not spoil the rest.")
            .with_body("EventBatch")
            .answers(EVENTS),
    ]
}

const INGEST_QUERY: &[QueryParameter] = &[QueryParameter {
    name: ingest::WAIT,
    about: "How long a cloud event may wait for its score: `0`, `5s`, `500ms`; more than 30 s is cut to 30 s. 2 s by default.",
}];

const NO_KEY: Response = Response::new(401, "No key, or a wrong one.", PROBLEM, "Problem");
const WRONG_SCOPE: Response = Response::new(403, "The key may not send events.", PROBLEM, "Problem");
const SLOW: Response = Response::new(408, "The body did not come in time.", PROBLEM, "Problem");
const TOO_LARGE: Response = Response::new(413, "The body is over a limit.", PROBLEM, "Problem");
const BAD_CODING: Response = Response::new(415, "The Content-Encoding is not known.", PROBLEM, "Problem");
const TOO_MANY: Response = Response::new(429, "Too many requests; Retry-After says when to go on.", PROBLEM, "Problem");

const LOGS: &[Response] = &[
    Response::new(200, "The log is durable.", JSON, "LogTaken"),
    Response::new(400, "The log is refused; `errors` names the fields.", JSON, "LogRefused"),
    NO_KEY,
    WRONG_SCOPE,
    SLOW,
    TOO_LARGE,
    BAD_CODING,
    Response::new(422, "The Idempotency-Key was used with another body.", JSON, "LogRefused"),
    TOO_MANY,
    Response::new(503, "Nothing was taken; Retry-After says when to try again.", JSON, "LogRefused"),
];

const INGEST: &[Response] = &[
    Response::new(202, "The event is durable.", JSON, "IngestTaken"),
    Response::new(400, "The cloud event, `wait` or the Idempotency-Key is refused.", JSON, "IngestRefused"),
    NO_KEY,
    WRONG_SCOPE,
    SLOW,
    TOO_LARGE,
    BAD_CODING,
    Response::new(
        422,
        "The event is refused, has no form that is known, or its Idempotency-Key was used with another body.",
        JSON,
        "IngestRefused",
    ),
    TOO_MANY,
    Response::new(503, "Nothing was taken; Retry-After says when to try again.", JSON, "IngestOverloaded"),
];

const EVENTS: &[Response] = &[
    Response::new(202, "What is not rejected is durable.", JSON, "EventsTaken"),
    Response::new(400, "Nothing could be read, or every record was rejected.", PROBLEM, "EventsRefused"),
    NO_KEY,
    WRONG_SCOPE,
    SLOW,
    Response::new(413, "The body is over a limit, or has too many records.", PROBLEM, "Problem"),
    BAD_CODING,
    Response::new(422, "The Idempotency-Key was used with another body.", PROBLEM, "Problem"),
    TOO_MANY,
    Response::new(503, "Nothing was taken; Retry-After says when to try again.", PROBLEM, "Problem"),
];

/// How long a sender should wait before it tries again, in seconds: a full disk takes longer than a full queue.
const fn retry_after_s(error: IngestError) -> u64 {
    match error {
        IngestError::Unwritable => 5,
        IngestError::Overloaded(_) | IngestError::Stopping | IngestError::KeyReused => 1,
    }
}

#[cfg(test)]
mod tests;
