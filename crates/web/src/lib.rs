//! What an HTTP edge is made of: routes with their permissions, requests, answers, problems, bodies.
//!
//! Edges return their routes and never listen; the listener and its middleware exist once, in `server`.

pub mod answer;
pub mod body;
pub mod query;
pub mod route;
