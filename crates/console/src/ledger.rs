//! The ledger as JSON.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use model::time::Timestamp;
use pipeline::ledger::Counts;
use pipeline::pending::Pending;
use serde_json::{Map, Value, json};
use web::answer::Answer;
use web::query::Query;
use web::route::Request;

use crate::state::Console;

/// How many windows wait for the end of their time. None ever does: a condition that further events could undo is
/// refused when the rule is read, and all others are decided at once.
///
/// Source: docs/adr/0012-what-sigma-refuses.md.
const PENDING_WINDOWS: u64 = 0;

/// Answers what became of everything that came in. All of it is of one moment, so that it is balanced.
pub(crate) async fn get(state: Arc<Console>, request: Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    // The counts of detection are read first: lag of 0 then covers all that they count.
    let status = (state.status)();
    let book = state.ledger.book().clone();
    let now = Console::now();
    let lag_of = |input: &str| book.pending.get(input).map_or_else(Lag::default, |it| Lag::of(it, now));
    let inputs: Map<String, Value> =
        book.inputs.iter().map(|(input, counts)| (input.clone(), row(counts, lag_of(input)))).collect();
    let total = book.pending.values().map(|it| Lag::of(it, now)).fold(Lag::default(), Lag::with);
    let body = json!({
        "total": row(&book.total(), total),
        "inputs": inputs,
        "refused_requests": book.refused_requests,
        "late": status.late,
        "ahead": status.ahead,
        "pending_windows": PENDING_WINDOWS,
    });
    Answer::json(StatusCode::OK, &body)
}

/// What waits for detection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lag {
    events: u64,
    /// How long the oldest waits.
    oldest: Duration,
}

impl Lag {
    fn of(pending: &Pending, now: Timestamp) -> Self {
        Self { events: pending.events(), oldest: pending.oldest_age(now) }
    }

    fn with(self, other: Self) -> Self {
        Self { events: self.events + other.events, oldest: self.oldest.max(other.oldest) }
    }
}

fn row(counts: &Counts, lag: Lag) -> Value {
    json!({
        "received": counts.received(),
        "stored": counts.stored,
        "duplicate": counts.duplicate,
        "rejected": counts.rejected,
        "quarantined": counts.quarantined,
        "lag_events": lag.events,
        // To the millisecond.
        "lag_seconds": lag.oldest.as_millis() as f64 / 1000.0,
    })
}
