//! A queue that is read: messages as they come, acknowledged when their reader says so.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, Consumer};

use super::ExchangeKind;
use super::broker::{AmqpError, Broker, close};

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The queue.
    pub queue: String,
    /// Whether the queue is made when it is not there; else it is only looked for.
    pub declares_queue: bool,
    /// Whether a queue or exchange that is made outlives the broker.
    pub is_durable: bool,
    /// The exchange that the queue is bound to; `None` leaves it bound as it is.
    pub exchange: Option<Bound>,
    /// How many messages may be on their way without being acknowledged.
    pub prefetch: u16,
}

/// An exchange and what is taken of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// Its kind if it is made when it is not there; else it is only looked for.
    pub declares: Option<ExchangeKind>,
    /// The keys under which the queue is bound.
    pub keys: Vec<String>,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Its number on this connection; it says nothing on another.
    pub tag: u64,
    /// What its sender calls it.
    pub message_id: Option<String>,
    /// Where its sender waits for an answer.
    pub reply_to: Option<String>,
    /// How its sender tells answers apart.
    pub correlation_id: Option<String>,
    /// Whether it was on its way before; a hint, no more.
    pub is_redelivered: bool,
    /// The message.
    pub body: Vec<u8>,
}

/// A queue that is being read.
pub struct Subscription {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
}

impl Broker {
    /// Connects and begins to read; `name` is what the broker shows.
    ///
    /// # Errors
    ///
    /// [`AmqpError`]: not reached, refused, or a queue or exchange that is not there.
    pub async fn subscribe(&self, name: &str, wanted: &Wanted) -> Result<Subscription, AmqpError> {
        let connection = self.connect(name).await?;
        match begin(&connection, name, wanted).await {
            Ok((channel, consumer)) => Ok(Subscription { connection, channel, consumer }),
            Err(error) => {
                close(&connection).await;
                Err(error)
            }
        }
    }
}

async fn begin(connection: &Connection, name: &str, wanted: &Wanted) -> Result<(Channel, Consumer), AmqpError> {
    let channel = connection.create_channel().await?;
    let queue = wanted.queue.as_str();
    let look_for_queue = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue_options = if wanted.declares_queue {
        QueueDeclareOptions { durable: wanted.is_durable, ..QueueDeclareOptions::default() }
    } else {
        look_for_queue
    };
    channel.queue_declare(queue.into(), queue_options, FieldTable::default()).await?;
    if let Some(exchange) = &wanted.exchange {
        bind(&channel, wanted, exchange).await?;
        // A binding that is refused closes the channel, and this would fail.
        channel.queue_declare(queue.into(), look_for_queue, FieldTable::default()).await?;
    }
    channel.basic_qos(wanted.prefetch, BasicQosOptions::default()).await?;
    let tag = format!("bartizan.{name}");
    let consumer =
        channel.basic_consume(queue.into(), tag.into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    Ok((channel, consumer))
}

async fn bind(channel: &Channel, wanted: &Wanted, exchange: &Bound) -> Result<(), AmqpError> {
    declare_exchange(channel, &exchange.name, exchange.declares, wanted.is_durable).await?;
    for key in &exchange.keys {
        let (queue, name, key) = (wanted.queue.as_str(), exchange.name.as_str(), key.as_str());
        channel
            .queue_bind(queue.into(), name.into(), key.into(), QueueBindOptions { nowait: true }, FieldTable::default())
            .await?;
    }
    Ok(())
}

/// Makes an exchange, or only looks for it.
pub(super) async fn declare_exchange(
    channel: &Channel,
    name: &str,
    declares: Option<ExchangeKind>,
    is_durable: bool,
) -> Result<(), AmqpError> {
    let passive = declares.is_none();
    let options =
        ExchangeDeclareOptions { passive, durable: is_durable && !passive, ..ExchangeDeclareOptions::default() };
    // Nobody looks at the kind of one that is only looked for.
    let kind = declares.unwrap_or(ExchangeKind::Direct).of_protocol();
    Ok(channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await?)
}

impl Subscription {
    /// Waits for the next message.
    ///
    /// # Errors
    ///
    /// The subscription is over: what was not acknowledged comes again, to whoever reads the queue then.
    pub async fn next(&mut self) -> Result<Delivery, AmqpError> {
        let next = poll_fn(|context| Pin::new(&mut self.consumer).poll_next(context)).await;
        taken(next)
    }

    /// Returns the next message if it is there already.
    ///
    /// # Errors
    ///
    /// The subscription is over.
    pub fn next_at_hand(&mut self) -> Result<Option<Delivery>, AmqpError> {
        let mut nobody = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.consumer).poll_next(&mut nobody) {
            Poll::Ready(next) => taken(next).map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// Whether it is not over yet, as far as we know.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.channel.status().connected() && self.connection.status().connected()
    }

    /// Acknowledges the message with this number and all before it.
    ///
    /// # Errors
    ///
    /// The subscription is over.
    pub async fn acknowledge(&self, through: u64) -> Result<(), AmqpError> {
        Ok(self.channel.basic_ack(through, BasicAckOptions { multiple: true }).await?)
    }

    /// Answers a message. The broker takes it before an acknowledgement that is sent after it; an answer that nobody waits for
    /// is dropped there.
    ///
    /// # Errors
    ///
    /// The subscription is over.
    pub async fn reply(&self, to: &str, correlation_id: Option<&str>, body: &[u8]) -> Result<(), AmqpError> {
        let mut properties = BasicProperties::default().with_content_type("application/json".into());
        if let Some(id) = correlation_id {
            properties = properties.with_correlation_id(id.into());
        }
        let options = BasicPublishOptions::default();
        let sent = self.channel.basic_publish("".into(), to.into(), options, body, properties).await?;
        // The channel confirms nothing.
        drop(sent);
        Ok(())
    }

    /// Stops reading; what was not acknowledged comes again.
    pub async fn close(self) {
        close(&self.connection).await;
    }
}

fn taken(next: Option<lapin::Result<lapin::message::Delivery>>) -> Result<Delivery, AmqpError> {
    let delivery = next.ok_or(AmqpError::Cancelled)??;
    let text = |it: &Option<lapin::types::ShortString>| {
        it.as_ref().map(|it| it.as_str().to_owned()).filter(|it| !it.is_empty())
    };
    Ok(Delivery {
        tag: delivery.delivery_tag,
        message_id: text(delivery.properties.message_id()),
        reply_to: text(delivery.properties.reply_to()),
        correlation_id: text(delivery.properties.correlation_id()),
        is_redelivered: delivery.redelivered,
        body: delivery.data,
    })
}
