//! How decisions get to those who block, and the proof that they arrived: the CrowdSec local API, plain lists, the
//! resumable stream of changes, the view of what is blocked, and the feeder of a kernel's nftables.
//!
//! Everything is served from the [`board`](decision::board::Board) in memory, never from the store: a slow disk must not
//! make a firewall blind. The store keeps who pulled what, so that a restart of ours is no reason to tell all again.

pub mod crowdsec;
pub mod edge;
pub mod pullers;

use std::sync::Arc;

use web::route::Route;

use crate::edge::Enforcement;

/// The routes of the main listener; those of the listener for bouncers are [`crowdsec::routes`].
#[must_use]
pub fn routes(_edge: &Arc<Enforcement>) -> Vec<Route> {
    Vec::new()
}
