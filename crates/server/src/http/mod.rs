//! The listener and what every request passes, once for all edges.

pub(crate) mod auth;
pub(crate) mod deliveries;
pub(crate) mod export;
pub(crate) mod listener;
pub(crate) mod outgoing;
pub(crate) mod own;
pub(crate) mod service;
pub(crate) mod tls;
