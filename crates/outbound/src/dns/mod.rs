//! Questions to a resolver: the messages, and the client that sends them.
//!
//! Only what forward-confirmed reverse names need: one question, the records `PTR`, `A` and `AAAA`, and `CNAME` on the way
//! to them. No cache, no recursion of our own, no DNSSEC: the resolver is one's own and is believed.

pub mod message;
pub mod resolver;
