//! Messages to people and other systems.
//!
//! [`route`] says who is told of an alert; it is pure, and its rows are stored with the alert. A [`worker`] for each
//! destination takes them from the outbox and hands them to a channel of [`channels`] until they have arrived. [`forward`] passes events on
//! to brokers, beside the outbox: it reads the log.

pub mod channels;
pub mod forward;
pub mod message;
pub mod notifier;
pub mod route;
pub mod settings;
pub mod worker;

mod backoff;
mod breaker;
mod broker;
mod encoding;
mod form;
mod ocsf;
mod signature;
mod template;
mod text;
