//! Proofs of what the program promises, against the binary itself: nothing acknowledged is lost, nothing counts twice,
//! equal input gives equal alerts, and what cannot be kept is not acknowledged.
//!
//! They know the command line and HTTP only. `BARTIZAN_LONG=1` makes the crash proof run a thousand cycles.

mod brakes;
mod budget;
mod connections;
mod crawlers;
mod determinism;
mod enforcement;
mod exceptions;
mod folder;
mod full_disk;
mod gateway;
mod hostile;
mod kill;
mod log_on_a_broker;
mod messages;
mod postgres;
mod rabbitmq;
mod rabbitmq_breaks;
mod remote;
mod secrets;
mod security;
mod support;
