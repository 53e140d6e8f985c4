//! Connections to the outside. All of them are made here: an address is checked when it is connected to, whatever a
//! name resolved to before; redirects are not followed; every step has a time and every answer a size.

pub mod amqp;
pub mod client;
pub mod dial;
pub mod dns;
pub mod guard;
pub mod resolve;
pub mod secret;
pub mod target;
pub mod tls;
