//! Decisions: which are in force, which proposals become one, and who is never blocked.
//!
//! Pure: no I/O, no thread, and `now` is an argument. `pipeline::admitter` owns the one [`admission::Admission`] of an
//! installation, enforcers look up in a [`board::Board`], and what a rule does when it fires is said by [`policy::Policy`].

pub mod admission;
pub mod board;
pub mod clients;
#[cfg(test)]
mod fixtures;
pub mod network_map;
pub mod policy;
pub mod report;
pub mod set;
pub mod spared;
