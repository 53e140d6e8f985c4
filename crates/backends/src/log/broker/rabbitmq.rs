//! A stream of RabbitMQ as a log, from threads that may wait.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use outbound::amqp::broker::{AmqpError, Broker};
use outbound::amqp::stream::{StreamReader, StreamSettings, StreamWriter};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::Stream;
use crate::log::embedded::locked;

/// How long the broker may take to confirm a message.
const CONFIRM: Duration = Duration::from_secs(8);
/// How many messages may be on their way to a reader.
const PREFETCH: u16 = 256;
/// How much is read at once.
const READ_BYTES: usize = 32 << 20;

/// A stream of RabbitMQ.
pub struct RabbitStream {
    runtime: Runtime,
    broker: Broker,
    settings: StreamSettings,
    writer: Mutex<Option<StreamWriter>>,
    reader: Mutex<Option<StreamReader>>,
}

impl RabbitStream {
    /// Makes a stream; it connects when it is used, and again when it must.
    ///
    /// # Errors
    ///
    /// When no thread can be started for the connections.
    pub fn new(broker: Broker, settings: StreamSettings) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("broker").enable_all().build()?;
        Ok(Self { runtime, broker, settings, writer: Mutex::default(), reader: Mutex::default() })
    }
}

impl Stream for RabbitStream {
    fn place(&self) -> String {
        format!("{} stream {}", self.broker, self.settings.name)
    }

    fn publish(&self, message: &[u8]) -> io::Result<()> {
        let mut held = locked(&self.writer);
        let publish = async {
            let writer = match held.take() {
                Some(writer) => writer,
                None => self.broker.write_stream("log", &self.settings).await.map_err(io::Error::other)?,
            };
            let late = || io::Error::new(io::ErrorKind::TimedOut, "the broker does not confirm");
            let done = timeout(CONFIRM, writer.publish(message)).await.map_err(|_| late());
            match done.and_then(|it| it.map_err(io::Error::other)) {
                Ok(()) => {
                    *held = Some(writer);
                    Ok(())
                }
                // What was not confirmed may come late on this connection, and must not come after what is sent next.
                Err(error) => {
                    writer.close().await;
                    Err(error)
                }
            }
        };
        self.runtime.block_on(publish)
    }

    fn make(&self) -> io::Result<()> {
        self.runtime.block_on(self.broker.make_stream("log", &self.settings)).map_err(io::Error::other)
    }

    fn last(&self) -> io::Result<Option<u64>> {
        self.runtime.block_on(self.broker.last_offset("log", &self.settings)).map_err(|it| match it {
            AmqpError::NoQueue => io::ErrorKind::NotFound.into(),
            other => io::Error::other(other),
        })
    }

    fn read(&self, from: u64, patience: Duration) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let mut held = locked(&self.reader);
        let read = async {
            let mut reader = match held.take() {
                Some(reader) if reader.from() == from => reader,
                other => {
                    if let Some(reader) = other {
                        reader.close().await;
                    }
                    let begun = self.broker.read_stream("log", &self.settings, from, PREFETCH).await;
                    begun.map_err(io::Error::other)?
                }
            };
            match reader.next(patience, usize::from(PREFETCH), READ_BYTES).await {
                // The first one may stand behind messages that are not kept any more.
                Ok(found) => {
                    *held = Some(reader);
                    Ok(found)
                }
                Err(error) => {
                    reader.close().await;
                    Err(io::Error::other(error))
                }
            }
        };
        self.runtime.block_on(read)
    }
}
