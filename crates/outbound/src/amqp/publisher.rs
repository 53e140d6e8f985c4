//! An exchange that is published to: confirmed, and returned where nobody is bound.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::ExchangeKind;
use super::broker::{AmqpError, Broker, close};
use super::subscription::declare_exchange;

/// What persistent messages have as their delivery mode (AMQP 0-9-1, `basic` class properties).
const PERSISTENT: u8 = 2;

/// Why a message did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The broker cannot be used.
    #[error(transparent)]
    Amqp(#[from] AmqpError),
    /// The broker gave it back: no queue is bound for it.
    #[error("no queue is bound to the exchange for this message: {0}")]
    Returned(String),
    /// The broker refused it: a queue is full, or failed.
    #[error("the broker refused the message; a queue may be full")]
    Refused,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// Its kind if it is made when it is not there; else it is only looked for.
    pub declares: Option<ExchangeKind>,
    /// Whether a message that no queue takes is an error; a fanout without readers takes none.
    pub is_mandatory: bool,
}

/// A message to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication<'a> {
    /// The routing key.
    pub key: &'a str,
    /// Its id, the same each time it is published.
    pub message_id: &'a str,
    /// What kind of message, as its receivers tell them apart.
    pub kind: &'a str,
    /// When it was made, in seconds of the epoch.
    pub timestamp_s: u64,
    /// The message, JSON.
    pub body: &'a [u8],
}

/// Publishes to one exchange, over one connection that is made when it is needed.
pub struct Publisher {
    broker: Broker,
    name: String,
    exchange: Exchange,
    link: Mutex<Option<Arc<Link>>>,
}

struct Link {
    connection: Connection,
    channel: Channel,
}

/// A message whose confirmation is waited for.
pub struct Pending(PublisherConfirm);

impl Pending {
    /// Waits until the broker has it.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; it may have arrived all the same when the connection broke.
    pub async fn settled(self) -> Result<(), PublishError> {
        match self.0.await.map_err(AmqpError::from)? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(returned)) => Err(PublishError::Returned(returned.reply_text.to_string())),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(PublishError::Refused),
        }
    }
}

impl Publisher {
    /// Makes a publisher; `name` is what the broker shows.
    #[must_use]
    pub fn new(broker: Broker, name: String, exchange: Exchange) -> Self {
        Self { broker, name, exchange, link: Mutex::default() }
    }

    /// Where it publishes to, without secrets.
    #[must_use]
    pub fn target(&self) -> String {
        self.broker.target(&self.exchange.name)
    }

    /// The broker.
    #[must_use]
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The exchange.
    #[must_use]
    pub const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Publishes a message and waits until the broker has it.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    pub async fn publish(&self, publication: &Publication<'_>) -> Result<(), PublishError> {
        self.send(publication).await?.settled().await
    }

    /// Sends a message; many may be on their way before the first is settled.
    ///
    /// # Errors
    ///
    /// [`PublishError::Amqp`].
    pub async fn send(&self, publication: &Publication<'_>) -> Result<Pending, PublishError> {
        let link = self.link().await?;
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(publication.message_id.into())
            .with_type(publication.kind.into())
            .with_timestamp(publication.timestamp_s)
            .with_app_id("bartizan".into());
        let options = BasicPublishOptions { mandatory: self.exchange.is_mandatory, immediate: false };
        let (exchange, key) = (self.exchange.name.as_str().into(), publication.key.into());
        let sent = link.channel.basic_publish(exchange, key, options, publication.body, properties).await;
        Ok(Pending(sent.map_err(AmqpError::from)?))
    }

    /// Says goodbye to the broker; the next message connects again.
    pub async fn close(&self) {
        let link = self.link.lock().await.take();
        if let Some(link) = link {
            close(&link.connection).await;
        }
    }

    /// The connection, made anew when there is none that works.
    async fn link(&self) -> Result<Arc<Link>, AmqpError> {
        let mut held = self.link.lock().await;
        if let Some(link) = held.as_ref() {
            if link.is_alive() {
                return Ok(link.clone());
            }
            close(&link.connection).await;
        }
        *held = None;
        let connection = self.broker.connect(&self.name).await?;
        let link = match self.open(&connection).await {
            Ok(channel) => Arc::new(Link { connection, channel }),
            Err(error) => {
                close(&connection).await;
                return Err(error);
            }
        };
        *held = Some(link.clone());
        Ok(link)
    }

    async fn open(&self, connection: &Connection) -> Result<Channel, AmqpError> {
        const OPEN: Duration = Duration::from_secs(10);
        let opening = async {
            let channel = connection.create_channel().await?;
            declare_exchange(&channel, &self.exchange.name, self.exchange.declares, true).await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        };
        timeout(OPEN, opening).await.unwrap_or(Err(AmqpError::Timeout(OPEN)))
    }
}

impl Link {
    fn is_alive(&self) -> bool {
        self.channel.status().connected() && self.connection.status().connected()
    }
}
