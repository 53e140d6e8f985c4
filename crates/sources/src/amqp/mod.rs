//! Events from the queues of RabbitMQ, or of another broker that speaks AMQP 0-9-1.
//!
//! A message is acknowledged once its events are durable with us, and not before. What cannot be read goes to
//! quarantine and is acknowledged, too: it would come again for ever. When the sink has no room nothing is
//! acknowledged, so the broker sends no more than the prefetch; nothing is dropped.

mod consume;
mod message;

pub mod board;
pub mod routes;
pub mod settings;
