//! AMQP 0-9-1, the protocol of RabbitMQ: a broker that is connected to, a queue that is read, an exchange that is
//! published to. Whoever uses it decides when to come back; [`backoff`] says after how long.
//!
//! A broker is named by the operator. Messages come as they were sent, and nothing of them is believed here.

pub mod backoff;
pub mod broker;
pub mod publisher;
pub mod stream;
pub mod subscription;

/// The longest name of a queue, an exchange or a routing key, in bytes: what the protocol has room for.
pub const NAME_BYTES_MAX: usize = 255;

/// What kind of exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// To the queues that are bound with the key of the message.
    Direct,
    /// To all queues that are bound.
    Fanout,
    /// To the queues whose pattern the key matches.
    Topic,
}

impl ExchangeKind {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 3] =
        [("direct", Self::Direct), ("fanout", Self::Fanout), ("topic", Self::Topic)];

    fn of_protocol(self) -> lapin::ExchangeKind {
        match self {
            Self::Direct => lapin::ExchangeKind::Direct,
            Self::Fanout => lapin::ExchangeKind::Fanout,
            Self::Topic => lapin::ExchangeKind::Topic,
        }
    }
}
