//! Detection: from an event to changed alerts. Pure: no I/O, no clock, no thread.

pub mod snapshot;
pub mod window;
