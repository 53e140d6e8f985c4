//! What the proofs share: a client, a server that can be killed, generated events, senders that keep what was
//! acknowledged, and the checks at the end.

pub(crate) mod checks;
pub(crate) mod corpus;
pub(crate) mod http;
pub(crate) mod rabbitmq;
pub(crate) mod random;
pub(crate) mod resolver;
pub(crate) mod sender;
pub(crate) mod server;
pub(crate) mod tls;
