//! The loops between the edges and the pure crates: dedupe, append, acknowledge, ledger; read, detect, commit.

pub mod actions;
pub mod admitter;
mod ahead;
pub mod alarm;
mod answers;
mod budget;
pub mod detect;
pub mod explain;
pub mod hydrate;
pub mod ingest;
pub mod ledger;
pub mod mark;
pub mod pending;
pub mod progress;
pub mod quarantine;
pub mod seen;
pub mod snapshot;
pub mod suspicion;
