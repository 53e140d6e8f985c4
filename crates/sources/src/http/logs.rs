//! `POST /logs`: one request of a web application.

use std::sync::Arc;

use hyper::StatusCode;
use model::intake::IngestError;
use normalize::refusal::Refusal;
use serde_json::{Value, json};
use web::answer::{Answer, JSON};
use web::route::Request;

use super::{once, record, retry_after_s};
use crate::sink::Sink;

const TAKEN: &[u8] = br#"{"status":"success","message":"Log received and queued."}"#;

/// Answers one request.
pub(super) async fn answer(sink: Arc<dyn Sink>, request: Request) -> Answer {
    let key = match once::key_of(&request.headers) {
        Ok(key) => key,
        Err(bad) => {
            sink.count_refused_request();
            return failed(StatusCode::BAD_REQUEST, bad.0, &key_fault(bad.0));
        }
    };
    let (submission, read) = record::read_one(&request, key, sink.now(), normalize::forms::logs::read);
    match (sink.submit(submission).await, read) {
        (Ok(_), Ok(())) => Answer::new(StatusCode::OK, JSON, TAKEN),
        (Ok(_), Err(refusals)) => refused(&refusals),
        (Err(IngestError::KeyReused), _) => {
            sink.count_refused_request();
            let text = IngestError::KeyReused.to_string();
            failed(StatusCode::UNPROCESSABLE_ENTITY, &text, &key_fault(&text))
        }
        (Err(error), _) => not_taken(error),
    }
}

fn refused(refusals: &[Refusal]) -> Answer {
    let messages: Vec<_> = refusals.iter().map(|it| it.message.as_str()).collect();
    let errors = refusals.iter().map(|it| json!({"field": it.field, "code": it.code.as_str(), "message": it.message}));
    failed(StatusCode::BAD_REQUEST, &messages.join("; "), &errors.collect())
}

fn not_taken(error: IngestError) -> Answer {
    let message = format!("Log received but not queued: {error}");
    failed(StatusCode::SERVICE_UNAVAILABLE, &message, &json!([])).retry_after(retry_after_s(error))
}

fn key_fault(message: &str) -> Value {
    json!([{"field": once::HEADER, "code": "bad_key", "message": message}])
}

fn failed(status: StatusCode, message: &str, errors: &Value) -> Answer {
    Answer::json(status, &json!({"status": "fail", "message": message, "errors": errors}))
}
