//! How bytes get in: over HTTP, from files and from the queues of brokers.
//!
//! A source reads bytes as events, hands them to a [`sink::Sink`] and tells its sender what became of them. It
//! knows neither the log nor the detection behind the sink, and it neither listens nor asks who a sender is.

pub mod amqp;
pub mod files;
pub mod http;
pub mod sink;
