//! `POST /ingest`: a cloud event, a finding (`AnormalEvent`) or a log event, each answered as its own clients expect.
//!
//! There is no score yet, so nobody waits: every cloud event is answered as queued. `wait` is checked all the same.

use std::sync::Arc;

use hyper::StatusCode;
use model::intake::IngestError;
use normalize::forms::ingest::{self, IngestForm, IngestRefusal};
use normalize::refusal::{Code, Refusal};
use serde_json::{Value, json};
use web::answer::{Answer, Fault, JSON};
use web::query::Query;
use web::route::Request;

use super::{once, record, retry_after_s};
use crate::sink::Sink;

/// The parameter that says how long a cloud event may wait for its score.
pub(super) const WAIT: &str = "wait";

const CLOUD_TAKEN: &[u8] = br#"{"status_code":202,"response_msg":"queued"}"#;
const TAKEN: &[u8] = br#"{"status":"queued"}"#;

/// Answers one request.
pub(super) async fn answer(sink: Arc<dyn Sink>, request: Request) -> Answer {
    let key = match parameters(&request) {
        Ok(key) => key,
        Err(fault) => {
            sink.count_refused_request();
            return invalid(StatusCode::BAD_REQUEST, &json!([{"field": fault.field, "message": fault.message}]));
        }
    };
    let (submission, read) = record::read_one(&request, key, sink.now(), ingest::read);
    match (sink.submit(submission).await, read) {
        (Ok(_), Ok(IngestForm::Cloud)) => Answer::new(StatusCode::ACCEPTED, JSON, CLOUD_TAKEN),
        (Ok(_), Ok(IngestForm::Anormal | IngestForm::Log)) => Answer::new(StatusCode::ACCEPTED, JSON, TAKEN),
        (Ok(_), Err(refusal)) => refused(&refusal),
        (Err(IngestError::KeyReused), read) => {
            sink.count_refused_request();
            key_reused(read.ok())
        }
        (Err(error), _) => overloaded(error),
    }
}

/// Checks the query and reads the `Idempotency-Key`.
fn parameters(request: &Request) -> Result<Option<String>, Fault> {
    if !request.query.is_empty() {
        let query = Query::of(&request.query, &[WAIT]);
        let wait =
            query.and_then(|it| it.read(WAIT, "a time like `0`, `500ms` or `5s`", |it| is_wait(it).then_some(())));
        wait.map_err(|bad| Fault { field: bad.name, message: bad.message })?;
    }
    once::key_of(&request.headers).map_err(|bad| Fault { field: once::HEADER.to_owned(), message: bad.0.to_owned() })
}

/// Whether a text is a time to wait: a whole number and its unit; only 0 needs none.
fn is_wait(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    match unit {
        "ms" | "s" | "m" | "h" | "d" => !number.is_empty(),
        "" => !number.is_empty() && number.bytes().all(|it| it == b'0'),
        _ => false,
    }
}

fn refused(refusal: &IngestRefusal) -> Answer {
    if refusal.form == Some(IngestForm::Cloud) {
        let error = |it: &Refusal| json!({"field": it.field, "code": it.code.as_str(), "message": it.message});
        return invalid(StatusCode::BAD_REQUEST, &refusal.refusals.iter().map(error).collect());
    }
    let detail: Value = refusal.refusals.iter().map(detail).collect();
    Answer::json(StatusCode::UNPROCESSABLE_ENTITY, &json!({"detail": detail}))
}

/// One refusal as the senders of log events know them.
fn detail(refusal: &Refusal) -> Value {
    let kind = match refusal.code {
        Code::MissingField => "missing",
        Code::BadField => "value_error",
        other => other.as_str(),
    };
    let location: Vec<&str> = std::iter::once("body").chain(refusal.field.as_deref()).collect();
    // A value that JSON has and we do not, like 1e400, is shown as its text.
    let input = refusal.value.as_deref().map(|it| serde_json::from_str(it).unwrap_or_else(|_| Value::from(it)));
    json!({"type": kind, "loc": location, "msg": refusal.message, "input": input})
}

fn key_reused(form: Option<IngestForm>) -> Answer {
    let message = IngestError::KeyReused.to_string();
    if form == Some(IngestForm::Cloud) {
        let errors = json!([{"field": once::HEADER, "code": "bad_key", "message": message}]);
        return invalid(StatusCode::UNPROCESSABLE_ENTITY, &errors);
    }
    let detail = json!([{"type": "value_error", "loc": ["header", once::HEADER], "msg": message, "input": null}]);
    Answer::json(StatusCode::UNPROCESSABLE_ENTITY, &json!({"detail": detail}))
}

fn invalid(status: StatusCode, errors: &Value) -> Answer {
    Answer::json(status, &json!({"error": "Invalid data", "errors": errors}))
}

fn overloaded(error: IngestError) -> Answer {
    let detail = match error {
        IngestError::Overloaded(_) => "Ingestion queue full".to_owned(),
        _ => format!("Event not queued: {error}"),
    };
    Answer::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"detail": detail})).retry_after(retry_after_s(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_and_its_unit() {
        for text in ["0", "00", "0s", "5s", "500ms", "1m", "999999h"] {
            assert!(is_wait(text), "{text}");
        }
        for text in ["", "-1", "abc", "5", "s", "1.5s", "5 s", "5S", "+5s", "٥s"] {
            assert!(!is_wait(text), "{text}");
        }
    }
}
