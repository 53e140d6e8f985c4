//! The stock clients against our API: `crowdsec-firewall-bouncer` with the nftables of a kernel, and
//! `crowdsec-custom-bouncer` with a program that notes what it is called with.
//!
//! Each test runs in a network namespace of its own, so it touches no firewall but its own. Without root, or where a client
//! is not installed, it says so and passes: `BARTIZAN_STOCK=1` makes that a failure. `BARTIZAN_LONG=1` bans 100,000.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]
#![expect(clippy::print_stdout, reason = "what is left out must be seen")]

mod custom;
mod firewall;
mod support;
