//! The listener and what every request passes, once for all edges.

pub(crate) mod auth;
pub(crate) mod deliveries;
pub(crate) mod except;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod idle;
pub(crate) mod listener;
pub(crate) mod outgoing;
pub(crate) mod own;
#[cfg(test)]
mod routes_tests;
pub(crate) mod service;
pub(crate) mod tls;
