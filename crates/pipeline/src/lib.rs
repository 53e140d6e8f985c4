//! The loops between the edges and the pure crates: dedupe, append, acknowledge, ledger; read, detect, commit.

mod ahead;
mod answers;
pub mod detect;
pub mod hydrate;
pub mod ingest;
pub mod ledger;
pub mod pending;
pub mod progress;
pub mod quarantine;
pub mod seen;
pub mod snapshot;
