//! The gateway: a reverse proxy that inspects each request, enforces decisions, forwards, and says what it saw.
//!
//! It knows neither the log nor detection: events go to a [`sink::Sink`], decisions come into [`decisions::Decisions`].
//! The way of a request: `framing` and `doubt` let it in, `service` asks decisions and inspection, `forward` sends it on,
//! `account` closes when the answer has ended, `record` tells of it.

mod account;
mod answer;
mod authz;
mod body;
mod client;
pub mod crowd;
pub mod crs;
pub mod decisions;
mod doubt;
mod forward;
mod framing;
pub mod gateway;
mod headers;
mod idle;
pub mod inspect;
pub mod listener;
mod pace;
mod policy;
pub mod record;
pub mod remote;
pub mod route;
mod service;
pub mod settings;
pub mod sink;
mod stall;
pub mod upstream;
