//! What Bartizan keeps: the durable log `events` and the store, each a trait with a conformance suite.
//!
//! Calls block; whoever calls from an async task moves them to a thread. The embedded backends need no server
//! and are the doubles of every test.

pub mod failpoint;
pub mod log;
pub mod store;
