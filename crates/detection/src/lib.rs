//! Detection: from an event to changed alerts. Pure: no I/O, no clock, no thread.
//!
//! [`engine`] is the order of the stages; [`rules`] what is in force; [`window`] what correlations count; [`fold`] and
//! [`registry`] keep what comes out small.

pub mod correlation;
pub mod engine;
pub mod fields;
pub mod fold;
pub mod inspection;
mod recorded;
pub mod registry;
pub mod rules;
pub mod snapshot;
pub mod suspended;
pub mod window;
