//! The ledger as JSON.

use std::sync::Arc;

use hyper::StatusCode;
use pipeline::ledger::Counts;
use serde_json::{Map, Value, json};
use web::answer::Answer;
use web::query::Query;
use web::route::Request;

use crate::state::Console;

/// Answers what became of everything that came in. All of it is of one moment, so that it is balanced.
pub(crate) async fn get(state: Arc<Console>, request: Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    // The counts of detection are read first: lag of 0 then covers all that they count.
    let status = (state.status)();
    let book = state.ledger.book().clone();
    let lag_of = |input: &str| book.pending.get(input).copied().unwrap_or(0);
    let inputs: Map<String, Value> =
        book.inputs.iter().map(|(input, counts)| (input.clone(), row(counts, lag_of(input)))).collect();
    let body = json!({
        "total": row(&book.total(), book.lag_events()),
        "inputs": inputs,
        "refused_requests": book.refused_requests,
        "late": status.late,
        "ahead": status.ahead,
        "pending_windows": status.pending_windows,
    });
    Answer::json(StatusCode::OK, &body)
}

fn row(counts: &Counts, lag_events: u64) -> Value {
    json!({
        "received": counts.received(),
        "stored": counts.stored,
        "duplicate": counts.duplicate,
        "rejected": counts.rejected,
        "quarantined": counts.quarantined,
        "lag_events": lag_events,
    })
}
