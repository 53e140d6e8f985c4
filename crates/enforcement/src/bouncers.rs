//! Who pulled what and when: `GET /v1/bouncers`, and forgetting one.

use std::sync::Arc;

use backends::store::decisions::Puller;
use hyper::StatusCode;
use model::time::Timestamp;
use serde_json::{Value, json};
use web::answer::Answer;
use web::query::Query;
use web::route::Request;

use crate::crowdsec::half_blocked;
use crate::edge::Enforcement;
use crate::pullers::{Kind, silence_of};

/// Answers everybody who pulls.
pub(crate) fn list(edge: &Arc<Enforcement>, request: &Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    let now = edge.now();
    let changed = edge.board.count().1;
    let items: Vec<Value> =
        edge.pullers.all().iter().map(|(puller, interval)| shown(edge, puller, *interval, changed, now)).collect();
    Answer::json(StatusCode::OK, &json!({"items": items, "next": null}))
}

fn shown(
    edge: &Enforcement,
    puller: &Puller,
    interval: Option<std::time::Duration>,
    changed: u64,
    now: Timestamp,
) -> Value {
    let silence = now.since(puller.last_at);
    let is_regular = Kind::from_word(&puller.kind).is_some_and(Kind::is_regular);
    let missed = edge.pullers.silence(puller.last_at, now);
    let is_silent = is_regular && interval.is_some_and(|it| silence_of(it) < missed);
    let half_blocked = half_blocked(edge, &puller.agent, now);
    let warning = (0 < half_blocked).then(|| {
        format!(
            "it blocks only the first address of a range, and {half_blocked} in force are wider than /24 or of IPv6; \
             its mode `ipset`, or `bartizan enforce nftables`, blocks all of them"
        )
    });
    json!({
        "name": puller.name,
        "address": puller.address,
        "agent": puller.agent,
        "kind": puller.kind,
        "state": if is_silent { "silent" } else { "pulls" },
        "first_at": puller.first_at.to_string(),
        "last_at": puller.last_at.to_string(),
        "age_seconds": silence.as_secs(),
        "interval_seconds": interval.map(|it| it.as_secs_f64()),
        "pulls": puller.pulls,
        "behind": changed.saturating_sub(puller.changed),
        "lag_seconds": puller.lag_millis.map(|it| it as f64 / 1000.0),
        "reported": serde_json::from_str::<Value>(&puller.reported).unwrap_or(Value::Null),
        "warning": warning,
    })
}

/// Forgets everybody who uses a key of a name; one that pulls again is known again.
pub(crate) fn forget(edge: &Arc<Enforcement>, request: &Request) -> Answer {
    match edge.pullers.forget(request.parameter()) {
        Ok(true) => Answer::new(StatusCode::NO_CONTENT, "", ""),
        Ok(false) => Answer::problem(StatusCode::NOT_FOUND, "nobody pulls with a key of that name"),
        Err(error) => {
            tracing::warn!(reason = %error, "Who pulls could not be forgotten");
            Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "the store is not available").retry_after(1)
        }
    }
}
