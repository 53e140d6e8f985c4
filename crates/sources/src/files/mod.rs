//! Events from files: read once from end to end, or followed as they grow, rotate and shrink.
//!
//! [`batches::read_batches`] is for a file that does not change; [`follow::follow`] is for one that does, and
//! remembers where it is with the events themselves, so that nothing is lost or read twice, whatever is killed.

mod mark;
mod rotated;
mod tail;

pub mod batches;
pub mod follow;
pub mod stop;
