//! The gateway between real sockets: a client that writes bytes, an upstream that answers with bytes.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]
#![expect(clippy::print_stdout, reason = "what is left out must be seen")]

mod bounds;
mod crs;
mod decisions;
mod events;
mod exceptions;
mod forwarding;
mod framing;
mod inspection;
mod programs;
mod real;
mod support;
mod tls;
