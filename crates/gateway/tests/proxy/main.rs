//! The gateway between real sockets: a client that writes bytes, an upstream that answers with bytes.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod bounds;
mod crs;
mod decisions;
mod events;
mod exceptions;
mod forwarding;
mod framing;
mod inspection;
mod support;
mod tls;
