//! The routes of messages: destinations and trying them out, what waits, what is dead, sending that again.

use std::sync::{Arc, Mutex, PoisonError};

use backends::store::Store;
use backends::store::outbox::{Delivery, DeliveryQuery, Expired, MessageId, OutboxCounts, OutboxLimits, Replay};
use hyper::StatusCode;
use notification::notifier::{Listed, Notifier};
use pipeline::ingest::{chain, now};
use serde_json::{Value, json};
use web::answer::{Answer, JSON, PROBLEM};
use web::query::Query;
use web::route::{Permission, QueryParameter, Request, Response, Route};

/// How many messages a list has at most, and without a limit.
const LIMIT_MAX: usize = 1000;
const LIMIT: usize = 100;
/// How many dead letters may be named at once.
const IDS_MAX: usize = 10_000;
/// How many messages are buried or removed in one transaction.
const EXPIRE_ROWS: usize = 1000;

const PARAMETERS: &[QueryParameter] = &[
    QueryParameter { name: "destination", about: "Only of this destination." },
    QueryParameter { name: "state", about: "`waiting` or `dead`; both without." },
    QueryParameter { name: "limit", about: "How many at most, 1 to 1000; 100 without." },
];

const FAILED: Response = Response::new(503, "The store is not available.", PROBLEM, "Problem");
const BAD: Response = Response::new(400, "What is wrong is named.", PROBLEM, "Problem");
const MISSING: Response = Response::new(404, "There is no such destination.", PROBLEM, "Problem");

/// Messages: who gets them, and what became of them.
pub(crate) struct Deliveries {
    notifier: Arc<Notifier>,
    store: Arc<dyn Store>,
    /// What there was when it was last counted.
    counts: Mutex<Vec<OutboxCounts>>,
}

impl Deliveries {
    pub(crate) fn new(notifier: Arc<Notifier>, store: Arc<dyn Store>) -> Self {
        Self { notifier, store, counts: Mutex::default() }
    }

    /// Buries and removes what is beyond the limits, and counts what is left.
    pub(crate) fn tend(&self, limits: &OutboxLimits) {
        let expired = self.store.expire(limits, now(), EXPIRE_ROWS).unwrap_or_else(|error| {
            tracing::warn!(reason = %chain(&error), "The outbox could not be looked through");
            Expired::default()
        });
        if 0 < expired.buried {
            tracing::warn!(messages = expired.buried, "Messages were too old or too many and are dead letters now");
        }
        if let Ok(counts) = self.store.outbox_counts() {
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        }
    }

    /// What the metrics show: every destination, with what was last counted.
    pub(crate) fn shown(&self) -> Vec<console::status::Deliveries> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = now();
        let shown = |it: Listed| {
            let count = count_of(&counts, &it.name);
            console::status::Deliveries {
                waiting: count.waiting,
                oldest: count.oldest.map(|it| now.since(it)),
                dead: count.dead,
                delivered: it.stats.delivered,
                failed: it.stats.failed,
                refused: it.stats.dead,
                repeated: it.stats.repeated,
                is_open: it.stats.is_open,
                destination: it.name,
            }
        };
        self.notifier.list().into_iter().map(shown).collect()
    }
}

fn count_of(counts: &[OutboxCounts], name: &str) -> OutboxCounts {
    counts.iter().find(|it| it.destination == name).cloned().unwrap_or_default()
}

/// The routes.
pub(crate) fn routes(deliveries: &Arc<Deliveries>) -> Vec<Route> {
    let with = |handler: fn(&Deliveries, &Request) -> Answer| {
        let deliveries = deliveries.clone();
        move |request: Request| {
            let deliveries = deliveries.clone();
            async move {
                let answered = tokio::task::spawn_blocking(move || handler(&deliveries, &request)).await;
                answered.unwrap_or_else(|_| {
                    Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "this failed by a mistake of ours")
                })
            }
        }
    };
    let trying = deliveries.clone();
    let test = move |request: Request| {
        let deliveries = trying.clone();
        async move { test(&deliveries, &request).await }
    };
    vec![
        Route::get("/v1/notify", with(list_destinations))
            .for_whom(Permission::Read)
            .about("Lists the destinations of messages, without secrets, with what became of messages to them.")
            .answers(const { &[Response::new(200, "The destinations.", JSON, "Destinations"), BAD, FAILED] }),
        Route::post("/v1/notify/{name}/test", test)
            .about("Sends a message that tells of nothing; says the status and how long it took, nothing else.")
            .answers(const { &[Response::new(200, "What came of it.", JSON, "Tried"), BAD, MISSING] }),
        Route::get("/v1/deliveries", with(list))
            .for_whom(Permission::Read)
            .about("Lists messages that wait and dead letters, newest first.")
            .with_query(PARAMETERS)
            .answers(const { &[Response::new(200, "The messages.", JSON, "Deliveries"), BAD, FAILED] }),
        Route::post("/v1/deliveries/replay", with(replay))
            .about("Lets dead letters wait again, with the ids that they had.")
            .with_body("DeliveryReplay")
            .answers(const { &[Response::new(200, "How many.", JSON, "DeliveriesReplayed"), BAD, FAILED] }),
    ]
}

fn unavailable(error: &backends::store::StoreError) -> Answer {
    tracing::warn!(reason = %chain(error), "The store could not be used");
    Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "the store is not available").retry_after(1)
}

fn list_destinations(deliveries: &Deliveries, request: &Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    let counts = match deliveries.store.outbox_counts() {
        Ok(counts) => counts,
        Err(error) => return unavailable(&error),
    };
    let items: Vec<Value> =
        deliveries.notifier.list().iter().map(|it| shown(it, &count_of(&counts, &it.name))).collect();
    Answer::json(StatusCode::OK, &json!({"items": items}))
}

fn shown(it: &Listed, count: &OutboxCounts) -> Value {
    json!({
        "name": it.name,
        "type": it.kind,
        "target": it.target,
        "min_severity": it.route.severity_min.as_str(),
        "repeat_seconds": it.route.repeat.as_secs(),
        "include": it.route.include,
        "exclude": it.route.exclude,
        "closed": it.route.tells_closed,
        "waiting": count.waiting,
        "oldest": count.oldest.map(|it| it.to_string()),
        "dead": count.dead,
        "delivered": it.stats.delivered,
        "failed": it.stats.failed,
        "refused": it.stats.dead,
        "repeated": it.stats.repeated,
        "breaker_open": it.stats.is_open,
        "reason": it.stats.reason,
    })
}

async fn test(deliveries: &Deliveries, request: &Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    match deliveries.notifier.test(request.parameter()).await {
        Some(tried) => {
            let latency = (tried.latency.as_secs_f64() * 10_000.0).round() / 10.0;
            Answer::json(StatusCode::OK, &json!({"sent": tried.is_sent, "status": tried.status, "latency_ms": latency}))
        }
        None => Answer::problem(StatusCode::NOT_FOUND, &format!("there is no such destination; {}", there(deliveries))),
    }
}

fn there(deliveries: &Deliveries) -> String {
    let names: Vec<String> = deliveries.notifier.list().into_iter().map(|it| it.name).collect();
    if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) }
}

fn list(deliveries: &Deliveries, request: &Request) -> Answer {
    let read = || {
        let query = Query::of(&request.query, &["destination", "state", "limit"])?;
        let state = |it: &str| [("waiting", false), ("dead", true)].iter().find(|word| word.0 == it).map(|it| it.1);
        let limit = |it: &str| it.parse().ok().filter(|it| (1..=LIMIT_MAX).contains(it));
        Ok(DeliveryQuery {
            destination: query.get("destination").map(str::to_owned),
            is_dead: query.read("state", "waiting or dead", state)?,
            limit: query.read("limit", "1 to 1000", limit)?.unwrap_or(LIMIT),
        })
    };
    let query = match read() {
        Ok(query) => query,
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    match deliveries.store.deliveries(&query) {
        Ok(found) => {
            let items: Vec<Value> = found.iter().map(delivery).collect();
            Answer::json(StatusCode::OK, &json!({"items": items}))
        }
        Err(error) => unavailable(&error),
    }
}

fn delivery(it: &Delivery) -> Value {
    json!({
        "id": it.id.to_string(),
        "destination": it.destination,
        "kind": it.kind,
        "subject": format!("{} {:032x}", it.subject.kind(), it.subject.number()),
        "state": if it.is_dead { "dead" } else { "waiting" },
        "created_at": it.created_at.to_string(),
        "next_at": it.next_at.to_string(),
        "attempts": it.attempt,
        "reason": it.reason,
    })
}

fn replay(deliveries: &Deliveries, request: &Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    let Some(wanted) = wanted_of(&request.body) else {
        let detail =
            "the body must be {\"all\":true}, {\"destination\":NAME} or {\"ids\":[ID,...]} with at most 10000 ids";
        return Answer::problem(StatusCode::BAD_REQUEST, detail);
    };
    match deliveries.store.replay(&wanted, now()) {
        Ok(replayed) => Answer::json(StatusCode::OK, &json!({"replayed": replayed})),
        Err(error) => unavailable(&error),
    }
}

fn wanted_of(body: &[u8]) -> Option<Replay> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let mut members = body.as_object()?.iter();
    match (members.next()?, members.next()) {
        ((name, Value::Bool(true)), None) if name == "all" => Some(Replay::All),
        ((name, Value::String(it)), None) if name == "destination" => Some(Replay::Destination(it.clone())),
        ((name, Value::Array(ids)), None) if name == "ids" && ids.len() <= IDS_MAX => {
            ids.iter().map(|it| MessageId::from_text(it.as_str()?)).collect::<Option<_>>().map(Replay::Ids)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_says_what_it_wants() {
        let id = "00000000000000000000000000000abc";
        let check = |body: &str, expected: Option<Replay>| assert_eq!(wanted_of(body.as_bytes()), expected, "{body}");
        check(r#"{"all":true}"#, Some(Replay::All));
        check(r#"{"destination":"ops"}"#, Some(Replay::Destination("ops".into())));
        check(&format!(r#"{{"ids":["{id}"]}}"#), Some(Replay::Ids(vec![MessageId(0xabc)])));
        let many = |count: usize| json!({"ids": vec![id; count]}).to_string();
        assert!(wanted_of(many(IDS_MAX).as_bytes()).is_some());
        check(&many(IDS_MAX + 1), None);
        for body in
            ["", "[]", "{}", r#"{"all":false}"#, r#"{"ids":[1]}"#, r#"{"ids":["x"]}"#, r#"{"all":true,"ids":[]}"#]
        {
            check(body, None);
        }
    }
}
