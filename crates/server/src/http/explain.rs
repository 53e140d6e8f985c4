//! The route that explains a decision: what it rests on, and whether the same comes out again from what is kept.

use std::path::PathBuf;
use std::sync::Arc;

use backends::log::Log;
use backends::store::Store;
use hyper::StatusCode;
use model::decision::{Decision, DecisionId};
use model::event::EventView;
use normalize::output::event_json;
use pipeline::explain::{Found, find_again};
use pipeline::ingest::chain;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use web::answer::{Answer, JSON, PROBLEM};
use web::route::{Permission, Request, Response, Route};

use crate::ruleset::Shelf;

const ANSWERS: &[Response] = &[
    Response::new(200, "what it rests on", JSON, "DecisionExplained"),
    Response::new(404, "there is no such decision", PROBLEM, "Problem"),
    Response::new(503, "the store or the log is not available", PROBLEM, "Problem"),
];
/// How many events are shown.
const EVENTS_SHOWN: usize = 20;

struct Explain {
    log: Arc<dyn Log>,
    store: Arc<dyn Store>,
    shelf: Shelf,
    /// A few at a time: each reads much of the log.
    turn: Semaphore,
}

/// The route; the sets of rules that were in force are in `rulesets`.
pub(crate) fn routes(log: Arc<dyn Log>, store: Arc<dyn Store>, rulesets: PathBuf) -> Vec<Route> {
    let explain = Arc::new(Explain { log, store, shelf: Shelf::new(rulesets), turn: Semaphore::new(2) });
    let handler = move |request: Request| {
        let explain = explain.clone();
        async move {
            let mistake = || Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "this failed by a mistake of ours");
            let Ok(_turn) = explain.turn.acquire().await else { return mistake() };
            let working = explain.clone();
            tokio::task::spawn_blocking(move || working.answer(&request)).await.unwrap_or_else(|_| mistake())
        }
    };
    vec![
        Route::get("/v1/decisions/{id}/explain", handler)
            .for_whom(Permission::Read)
            .about(
                "What a decision rests on: its rule as it was then, its events, and whether the same is found again.",
            )
            .answers(ANSWERS),
    ]
}

impl Explain {
    fn answer(&self, request: &Request) -> Answer {
        let away = |error: &dyn std::error::Error| {
            tracing::warn!(reason = %chain(error), "A decision could not be explained");
            Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "what is stored cannot be read now").retry_after(5)
        };
        let unknown = || Answer::problem(StatusCode::NOT_FOUND, "there is no such decision, or it is no longer kept");
        let Ok(number) = request.parameter().parse() else { return unknown() };
        let decision = match self.store.decision(DecisionId(number)) {
            Ok(Some(decision)) => decision,
            Ok(None) => return unknown(),
            Err(error) => return away(&error),
        };
        match self.explained(&decision) {
            Ok(body) => Answer::new(StatusCode::OK, JSON, body.to_string()),
            Err(error) => away(error.as_ref()),
        }
    }

    fn explained(&self, decision: &Decision) -> Result<Value, Box<dyn std::error::Error>> {
        let basis = &decision.basis;
        let mut events = Vec::new();
        for id in basis.events.iter().take(EVENTS_SHOWN) {
            let found = self.log.find(*id)?;
            let event = found.and_then(|(_, bytes)| EventView::of(&bytes).map(|it| event_json(&it)));
            let event: Value = event.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or(Value::Null);
            events.push(json!({"id": id.to_string(), "event": event}));
        }
        let rules = self.shelf.find(&basis.rules_digest);
        let rule = rules.as_ref().and_then(|rules| {
            let mut all = rules.rules.iter().chain(&rules.correlations);
            let info = all.find(|it| it.id == basis.rule_id && it.version == basis.rule_version)?;
            Some(json!({"id": info.id, "version": info.version, "title": info.title, "description": info.description,
                        "condition": info.condition, "severity": info.severity.as_str()}))
        });
        let again = match rules {
            _ if basis.alert.is_none() => Value::Null,
            None => json!({"found": "unknown", "reason": "the rules that were in force are no longer kept"}),
            Some(rules) => match find_again(self.log.as_ref(), rules, &decision.target.to_string(), basis)? {
                Found::Same => json!({"found": "same"}),
                Found::Without(ids) => {
                    json!({"found": "same", "without": ids.iter().map(ToString::to_string).collect::<Vec<_>>()})
                }
                Found::Nothing => {
                    let reason = "its events are no longer kept, or its rule groups by something else";
                    json!({"found": "nothing", "reason": reason})
                }
            },
        };
        Ok(json!({
            "decision": console::decision_json(decision, pipeline::ingest::now()),
            "rule": rule,
            "events": events,
            "again": again,
        }))
    }
}
