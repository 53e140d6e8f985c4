//! The nouns of Bartizan: what crosses the borders between the other crates.
//!
//! Pure: no I/O, no clock, no thread. What a noun means is written in
//! `docs/design.md`; what it looks like on the wire is the edges' business.

pub mod alert;
pub mod decision;
pub mod entity;
pub mod event;
pub mod id;
pub mod intake;
pub mod json;
pub mod limits;
pub mod network;
pub mod place;
pub mod severity;
pub mod time;
