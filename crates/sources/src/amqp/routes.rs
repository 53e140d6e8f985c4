//! The route that lists the sources of brokers.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};
use web::answer::{Answer, JSON};
use web::route::{Permission, Request, Response, Route};

use super::board::{Board, Listed};

const LISTED: &[Response] = &[Response::new(200, "The sources.", JSON, "Sources")];

/// Returns the route `GET /v1/sources`.
#[must_use]
pub fn routes(board: Arc<Board>) -> Vec<Route> {
    let list = move |_: Request| {
        let items: Vec<Value> = board.list().iter().map(shown).collect();
        async move { Answer::json(StatusCode::OK, &json!({"items": items})) }
    };
    vec![
        Route::get("/v1/sources", list)
            .for_whom(Permission::Read)
            .about("Lists the queues that are read, without secrets: whether each is connected, since when, and what went wrong last.")
            .answers(LISTED),
    ]
}

fn shown(it: &Listed) -> Value {
    let state = &it.state;
    let error = state.last_error.as_ref().map(|(reason, at)| json!({"reason": reason, "at": at.to_string()}));
    json!({
        "name": it.name,
        "type": super::settings::TYPE,
        "broker": it.broker,
        "queue": it.queue,
        "exchange": it.exchange,
        "connected": state.is_connected,
        "since": state.since.map(|it| it.to_string()),
        "connects": state.connects,
        "waiting": state.is_waiting,
        "received": state.received,
        "redelivered": state.redelivered,
        "acknowledged": state.acknowledged,
        "replies": state.replies,
        "last_error": error,
    })
}
