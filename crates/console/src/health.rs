//! Whether the process lives, serves, and can see.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;
use web::answer::{Answer, TEXT};
use web::route::Request;

use crate::state::Console;

/// Answers that the process lives.
pub(crate) async fn alive(_: Request) -> Answer {
    Answer::text("ok")
}

/// Answers whether requests are served.
pub(crate) async fn ready(state: Arc<Console>, _: Request) -> Answer {
    if state.is_ready() {
        Answer::text("ready")
    } else {
        Answer::new(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready").retry_after(1)
    }
}

/// Answers the state in the words of docs/api.md, "Routes without a version"; 503 when store or log do not do their work.
///
/// Of a copy of another installation's decisions it says how old it is. Nothing is synchronised here, so `last_sync` and `last_success` are `null`. What is wrong is said without paths.
pub(crate) async fn state(state: Arc<Console>, _: Request) -> Answer {
    let is_connected = state.ask(|it| Ok(it.store.is_available())).await.unwrap_or(false);
    let status = (state.status)();
    let trouble = if !is_connected {
        Some("the store does not answer".to_owned())
    } else if state.ingest.trouble().is_some() {
        Some("the log cannot be written; nothing is acknowledged until it can".to_owned())
    } else {
        status.trouble
    };
    let is_failed = trouble.is_some();
    let mut body = json!({
        "system_status": if is_failed { "system_failure" } else { "idle" },
        "db_status": if is_connected { "Connected" } else { "Disconnected" },
        "last_sync": null,
        "last_success": null,
        "last_event_time": status.last_event_time.map(|it| it.to_string()),
        "last_error": trouble,
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let Some(remote) = status.gateway.and_then(|it| it.remote) {
        body["gateway_decisions"] = json!({
            "copied": remote.decisions,
            "heard_at": remote.heard_at.map(|it| it.to_string()),
            "age_seconds": remote.age.map(|it| it.as_secs()),
            "enforced": remote.is_enforced,
        });
    }
    let code = if is_failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Answer::json(code, &body)
}
