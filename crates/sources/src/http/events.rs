//! `POST /v1/events`: events of any form, one or many; a bad record is named by its index.

use std::fmt::Write;
use std::sync::Arc;

use hyper::StatusCode;
use model::intake::{Events, IngestError, Once, RECEIPT_IDS_MAX, Receipt, Submission};
use model::time::Timestamp;
use normalize::batch::{self, BatchError};
use normalize::forms::event;
use normalize::reading::Reading;
use normalize::refusal::Refusal;
use web::answer::{Answer, Fault, JSON, PROBLEM};
use web::route::Request;

use super::{RecordLimits, once, retry_after_s};
use crate::sink::Sink;

/// A larger body is read beside the threads that serve everybody, in bytes: about a millisecond of work.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// How many further fields a refusal names, beside the first.
const ALSO_MAX: usize = 8;

/// A body that was read.
struct Body {
    submission: Submission,
    /// The records that were refused, by their index.
    rejected: Vec<(usize, Vec<Refusal>)>,
}

/// Answers one request.
pub(super) async fn answer(sink: Arc<dyn Sink>, limits: RecordLimits, request: Request) -> Answer {
    let key = match once::key_of(&request.headers) {
        Ok(key) => key,
        Err(bad) => {
            sink.count_refused_request();
            return bad_key(StatusCode::BAD_REQUEST, bad.0);
        }
    };
    let body = match read_beside(request, key, sink.now(), limits).await {
        Some(Ok(body)) => body,
        Some(Err(error)) => {
            sink.count_refused_request();
            return unreadable(&error);
        }
        None => return not_taken(IngestError::Stopping),
    };
    let Body { submission, rejected } = body;
    // An empty list has nothing to store; under a key it is a request as any other, and may be another under that key.
    if submission.events.is_empty() && rejected.is_empty() && submission.once.is_none() {
        return taken(&Receipt::default(), &rejected);
    }
    let is_all_rejected = submission.events.is_empty() && !rejected.is_empty();
    match sink.submit(submission).await {
        Ok(_) if is_all_rejected => all_rejected(&rejected),
        Ok(receipt) => taken(&receipt, &rejected),
        Err(IngestError::KeyReused) => {
            sink.count_refused_request();
            bad_key(StatusCode::UNPROCESSABLE_ENTITY, &IngestError::KeyReused.to_string())
        }
        Err(error) => not_taken(error),
    }
}

/// Reads a body where it disturbs nobody; `None` when the process is ending.
async fn read_beside(
    request: Request,
    key: Option<String>,
    now: Timestamp,
    limits: RecordLimits,
) -> Option<Result<Body, BatchError>> {
    if request.body.len() <= INLINE_BYTES_MAX {
        return Some(read(&request, key, now, limits));
    }
    match tokio::task::spawn_blocking(move || read(&request, key, now, limits)).await {
        Ok(body) => Some(body),
        Err(error) => error.try_into_panic().map_or(None, |panic| std::panic::resume_unwind(panic)),
    }
}

fn read(request: &Request, key: Option<String>, now: Timestamp, limits: RecordLimits) -> Result<Body, BatchError> {
    let input = request.caller.input();
    let mut events = Events { bytes: Vec::with_capacity(request.body.len() * 5 / 4 + 256), ends: Vec::new() };
    let mut rejected = Vec::new();
    let once = once::once(key, request);
    let name = once.as_ref().map(Once::name);
    let ids = once::ids(name.as_deref());
    let reading = Reading { input: &input, received: Some(now), now, synthetic: false, ids };
    for (index, record) in batch::split_batch(&request.body, limits.records_max)?.enumerate() {
        match event::read(record, index as u64, &reading, &mut events.bytes) {
            Ok(()) => events.close(),
            Err(refusals) => rejected.push((index, refusals)),
        }
    }
    // A key whose records were all refused stays free for better ones.
    let is_all_rejected = events.is_empty() && !rejected.is_empty();
    let once = once.filter(|_| !is_all_rejected);
    let submission = Submission { input, events, rejected: rejected.len() as u64, once, ..Submission::default() };
    Ok(Body { submission, rejected })
}

fn taken(receipt: &Receipt, rejected: &[(usize, Vec<Refusal>)]) -> Answer {
    let mut body = String::with_capacity(128 + 35 * receipt.ids.len());
    body.push('{');
    write_counts(&mut body, receipt.stored, receipt.duplicate, rejected);
    if receipt.stored <= RECEIPT_IDS_MAX as u64 {
        body.push_str(",\"ids\":[");
        for (number, id) in receipt.ids.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(body, "{comma}\"{id}\"");
        }
        body.push(']');
    }
    body.push('}');
    Answer::new(StatusCode::ACCEPTED, JSON, body)
}

fn all_rejected(rejected: &[(usize, Vec<Refusal>)]) -> Answer {
    refused_whole("every record was rejected; `rejected` says why", rejected)
}

fn refused_whole(detail: &str, rejected: &[(usize, Vec<Refusal>)]) -> Answer {
    let mut body = r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"#.to_owned();
    write_text(&mut body, detail);
    body.push(',');
    write_counts(&mut body, 0, 0, rejected);
    body.push('}');
    Answer::new(StatusCode::BAD_REQUEST, PROBLEM, body)
}

fn unreadable(error: &BatchError) -> Answer {
    match error {
        BatchError::Empty(refusal) => refused_whole(&refusal.message, &[]),
        BatchError::TooMany { .. } => Answer::problem(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()),
    }
}

fn not_taken(error: IngestError) -> Answer {
    let detail = format!("nothing was taken: {error}");
    Answer::problem(StatusCode::SERVICE_UNAVAILABLE, &detail).retry_after(retry_after_s(error))
}

fn bad_key(status: StatusCode, detail: &str) -> Answer {
    let fault = Fault { field: once::HEADER.to_owned(), message: detail.to_owned() };
    Answer::problem_with(status, detail, &[fault])
}

fn write_counts(body: &mut String, accepted: u64, duplicate: u64, rejected: &[(usize, Vec<Refusal>)]) {
    let received = accepted + duplicate + rejected.len() as u64;
    // Writing to a String cannot fail.
    let _ = write!(body, "\"received\":{received},\"accepted\":{accepted},\"duplicate\":{duplicate},\"rejected\":[");
    for (number, (index, refusals)) in rejected.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(body, "{comma}{{\"index\":{index}");
        write_refusals(body, refusals);
        body.push('}');
    }
    body.push(']');
}

/// Writes the first refusal of a record, and which other fields are wrong.
fn write_refusals(body: &mut String, refusals: &[Refusal]) {
    let Some((first, others)) = refusals.split_first() else { return };
    body.push_str(",\"code\":");
    write_text(body, first.code.as_str());
    if let Some(field) = &first.field {
        body.push_str(",\"field\":");
        write_text(body, field);
    }
    body.push_str(",\"message\":");
    let fields: Vec<_> = others.iter().filter_map(|it| it.field.as_deref()).take(ALSO_MAX).collect();
    if fields.is_empty() {
        write_text(body, &first.message);
    } else {
        write_text(body, &format!("{}; also wrong: `{}`", first.message, fields.join("`, `")));
    }
}

/// Writes a text as JSON.
fn write_text(body: &mut String, text: &str) {
    body.push_str(&serde_json::Value::from(text).to_string());
}
