//! Decisions in the nftables of this host: a table of our own, fed from the stream of changes.
//!
//! [`wanted`] is what is to be blocked, [`script`] says it in the language of `nft`, [`kernel`] runs that, [`snapshot`] keeps
//! it on disk for a start without the server. Who asks the server is not here: the command does, by HTTP or by the socket.

pub mod kernel;
pub mod script;
pub mod snapshot;
pub mod wanted;

/// What it calls itself when it pulls.
pub const AGENT: &str = "bartizan-nftables";
