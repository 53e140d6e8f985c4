//! The loops between the edges and the pure crates: dedupe, append, acknowledge, ledger; read, detect, commit.

pub mod ingest;
pub mod ledger;
pub mod quarantine;
pub mod seen;
