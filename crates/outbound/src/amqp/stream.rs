//! A stream of RabbitMQ: a queue whose messages stay when they were read, each under a number, its offset.
//!
//! Streams are read and written with plain AMQP 0-9-1 (RabbitMQ documentation, "Streams", "Using streams with an AMQP
//! 0-9-1 client"), so that no plugin is needed.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Consumer};
use tokio::time::timeout;

use super::broker::{AmqpError, Broker, close};
use super::publisher::PublishError;

/// How long opening a channel and looking for a queue may take.
const OPEN: Duration = Duration::from_secs(10);
/// How long the last messages of a stream may take to come, the first and each further.
const LAST_FIRST: Duration = Duration::from_secs(2);
const LAST_MORE: Duration = Duration::from_millis(300);
/// The argument that says where a reader begins, and the header that says where a message stands.
const OFFSET: &str = "x-stream-offset";

/// A stream as it is made when it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// The name of its queue.
    pub name: String,
    /// How many bytes it keeps at least, if there are as many.
    pub keep_bytes: u64,
    /// How long it keeps messages at least.
    pub keep_age: Duration,
}

impl StreamSettings {
    fn arguments(&self) -> FieldTable {
        let mut table = FieldTable::default();
        table.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        let bytes = i64::try_from(self.keep_bytes).unwrap_or(i64::MAX);
        table.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(bytes));
        let age = format!("{}s", self.keep_age.as_secs().max(1));
        table.insert("x-max-age".into(), AMQPValue::LongString(age.into()));
        table
    }
}

/// A stream that is written to, on a connection of its own.
pub struct StreamWriter {
    connection: Connection,
    channel: Channel,
    name: String,
}

/// A stream that is read, on a connection of its own.
pub struct StreamReader {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    /// How many there were when it was opened, as far as the broker knows.
    messages: u32,
    from: u64,
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "StreamWriter({})", self.name)
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "StreamReader(from {})", self.from)
    }
}

impl Broker {
    /// Makes a stream if it is not there; one that is there is left as it is.
    ///
    /// # Errors
    ///
    /// [`AmqpError`].
    pub async fn make_stream(&self, name: &str, stream: &StreamSettings) -> Result<(), AmqpError> {
        let connection = self.connect(name).await?;
        let making = async {
            // One that is there may have other limits, which whoever made it has chosen.
            if ready_channel(&connection, stream).await.is_ok() {
                return Ok(());
            }
            // What is not there closes the channel.
            let channel = connection.create_channel().await?;
            let make = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(stream.name.as_str().into(), make, stream.arguments()).await?;
            Ok(())
        };
        let made = timeout(OPEN, making).await.unwrap_or(Err(AmqpError::Timeout(OPEN)));
        close(&connection).await;
        made
    }

    /// Returns the offset of the last message of a stream, or one shortly before it; `None` when it has none.
    ///
    /// # Errors
    ///
    /// [`AmqpError`]; also when there are messages and none comes.
    pub async fn last_offset(&self, name: &str, stream: &StreamSettings) -> Result<Option<u64>, AmqpError> {
        let last = AMQPValue::LongString("last".into());
        let mut reader = self.read_stream_at(name, stream, last, 1000).await?;
        let (mut found, mut patience) = (None, LAST_FIRST);
        loop {
            let more = reader.next(patience, 1000, usize::MAX).await;
            match more.map(|it| it.last().map(|last| last.0)) {
                Ok(Some(last)) => (found, patience) = (Some(last), LAST_MORE),
                Ok(None) => break,
                Err(error) => {
                    reader.close().await;
                    return Err(error);
                }
            }
        }
        let is_empty = reader.messages == 0;
        reader.close().await;
        if found.is_none() && !is_empty { Err(AmqpError::Timeout(LAST_FIRST)) } else { Ok(found) }
    }

    /// Connects to write to a stream; `name` is what the broker shows.
    ///
    /// # Errors
    ///
    /// [`AmqpError`].
    pub async fn write_stream(&self, name: &str, stream: &StreamSettings) -> Result<StreamWriter, AmqpError> {
        let connection = self.connect(name).await?;
        let opening = async {
            let channel = ready_channel(&connection, stream).await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        };
        match timeout(OPEN, opening).await.unwrap_or(Err(AmqpError::Timeout(OPEN))) {
            Ok(channel) => Ok(StreamWriter { connection, channel, name: stream.name.clone() }),
            Err(error) => {
                close(&connection).await;
                Err(error)
            }
        }
    }

    /// Connects to read a stream from the message with offset `from` on, or the first one behind it that is kept.
    /// At most `prefetch` messages are on their way.
    ///
    /// # Errors
    ///
    /// [`AmqpError`].
    pub async fn read_stream(
        &self,
        name: &str,
        stream: &StreamSettings,
        from: u64,
        prefetch: u16,
    ) -> Result<StreamReader, AmqpError> {
        let at = AMQPValue::LongLongInt(from.cast_signed());
        let reader = self.read_stream_at(name, stream, at, prefetch).await?;
        Ok(StreamReader { from, ..reader })
    }

    async fn read_stream_at(
        &self,
        name: &str,
        stream: &StreamSettings,
        at: AMQPValue,
        prefetch: u16,
    ) -> Result<StreamReader, AmqpError> {
        let connection = self.connect(name).await?;
        let opening = async {
            let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let channel = connection.create_channel().await?;
            let declared = channel.queue_declare(stream.name.as_str().into(), look, FieldTable::default()).await;
            let declared = declared.map_err(missing)?;
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let mut arguments = FieldTable::default();
            arguments.insert(OFFSET.into(), at);
            let (queue, options) = (stream.name.as_str().into(), BasicConsumeOptions::default());
            let consumer = channel.basic_consume(queue, ShortString::default(), options, arguments).await?;
            Ok((channel, consumer, declared.message_count()))
        };
        match timeout(OPEN, opening).await.unwrap_or(Err(AmqpError::Timeout(OPEN))) {
            Ok((channel, consumer, messages)) => Ok(StreamReader { connection, channel, consumer, messages, from: 0 }),
            Err(error) => {
                close(&connection).await;
                Err(error)
            }
        }
    }
}

/// Opens a channel on which the stream is known to be there.
async fn ready_channel(connection: &Connection, stream: &StreamSettings) -> Result<Channel, AmqpError> {
    let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let channel = connection.create_channel().await?;
    let looked = channel.queue_declare(stream.name.as_str().into(), look, FieldTable::default()).await;
    looked.map_err(missing)?;
    Ok(channel)
}

/// Tells a queue that is not there from one that cannot be reached now, which the broker says with the same number.
fn missing(error: lapin::Error) -> AmqpError {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(it) if it.get_message().as_str().contains("no queue") => AmqpError::NoQueue,
        _ => error.into(),
    }
}

impl StreamWriter {
    /// Adds a message and waits until the broker has confirmed it.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the message may be in the stream all the same when the connection broke.
    pub async fn publish(&self, message: &[u8]) -> Result<(), PublishError> {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let properties = BasicProperties::default();
        let sent = self.channel.basic_publish("".into(), self.name.as_str().into(), options, message, properties);
        let confirmed = sent.await.map_err(AmqpError::from)?.await.map_err(AmqpError::from)?;
        match confirmed {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(returned)) => Err(PublishError::Returned(returned.reply_text.to_string())),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(PublishError::Refused),
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        close(&self.connection).await;
    }
}

impl StreamReader {
    /// The offset from which on messages come.
    #[must_use]
    pub const fn from(&self) -> u64 {
        self.from
    }

    /// Waits for messages, at most `patience`, and returns those that are there, at most `count` and about `bytes`. They may
    /// be none.
    ///
    /// # Errors
    ///
    /// The subscription is over; another reader goes on from [`Self::from`].
    pub async fn next(
        &mut self,
        patience: Duration,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, AmqpError> {
        let mut found = Vec::new();
        let first = poll_fn(|context| Pin::new(&mut self.consumer).poll_next(context));
        let Ok(first) = timeout(patience, first).await else { return Ok(found) };
        let mut taken = self.take(first, &mut found)?;
        let mut held = found.last().map_or(0, |it: &(u64, Vec<u8>)| it.1.len());
        let mut nobody = Context::from_waker(Waker::noop());
        while found.len() < count && held < bytes {
            let Poll::Ready(next) = Pin::new(&mut self.consumer).poll_next(&mut nobody) else { break };
            taken = self.take(next, &mut found)?;
            held += found.last().map_or(0, |it| it.1.len());
        }
        // An acknowledgement only says that more may come.
        self.channel.basic_ack(taken, BasicAckOptions { multiple: true }).await?;
        Ok(found)
    }

    /// Takes a message in; returns its number on this connection. The broker may begin a little early.
    fn take(
        &mut self,
        next: Option<lapin::Result<lapin::message::Delivery>>,
        found: &mut Vec<(u64, Vec<u8>)>,
    ) -> Result<u64, AmqpError> {
        let delivery = next.ok_or(AmqpError::Cancelled)??;
        let headers = delivery.properties.headers().as_ref().map(FieldTable::inner);
        let offset = match headers.and_then(|it| it.get(OFFSET)) {
            Some(AMQPValue::LongLongInt(it)) => it.cast_unsigned(),
            // A queue that is no stream has no offsets, and cannot be a log.
            _ => return Err(AmqpError::NoStream),
        };
        if self.from <= offset {
            self.from = offset + 1;
            found.push((offset, delivery.data));
        }
        Ok(delivery.delivery_tag)
    }

    /// Says goodbye.
    pub async fn close(self) {
        close(&self.connection).await;
    }
}
