//! The web pages: login, overview and API reference, with their assets, and the JSON API that they and others read.
//!
//! Everything is embedded in the binary; a page loads nothing from elsewhere and needs no network. This crate
//! does not listen and does not authenticate: it returns its [`routes`], and the server mounts them.

mod alert_list;
mod anomalies;
mod cache;
mod cursor;
mod decisions;
mod events;
mod health;
mod ledger;
mod life;
mod metrics;
mod object;
mod quarantine;
mod routes;
mod schemas;
#[cfg(test)]
mod tests;

pub mod alerts;
pub mod asset;
pub mod csv;
pub mod header;
pub mod openapi;
pub mod page;
pub mod pages;
pub mod state;
pub mod status;

use std::sync::Arc;

use web::route::Route;

pub use crate::decisions::form::decision_json;
use crate::state::Console;

/// Returns the routes of the console: pages, assets, and the JSON API but what sends events.
///
/// `GET /login/{token}`, `POST /login` and `POST /logout` are the server's, where the sessions are. The document at
/// `/openapi.json` is there once [`Console::describe`] was called with the routes of all edges.
#[must_use]
pub fn routes(state: Arc<Console>) -> Vec<Route> {
    routes::all(&state)
}
