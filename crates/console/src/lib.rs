//! The web pages: login, overview and API reference, with their assets and the headers they need.
//!
//! Everything is embedded in the binary; a page loads nothing from elsewhere and needs no network. This crate
//! does not listen, authenticate or route: the server mounts what is here. The pages read the JSON API.

pub mod asset;
pub mod header;
pub mod page;
