//! Upstreams: where requests go, the connections kept open to them, and whether they are well.

pub mod address;
pub(crate) mod connection;
pub(crate) mod group;
pub(crate) mod health;
