//! When the alerts of this and of other processes change: a number that moves with every such commit.
//!
//! Our own commits move it before they return. Those of others come as notifications, which the server sends with the commit.
//! While none can be heard the number is another each time: nothing that was kept is taken for new.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Connection};

use super::connect::{Connector, Made};

/// How often the connection that listens is asked whether the other end is there, and how long the answer may take.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);
/// How long is waited before it is connected again.
const PAUSE: Duration = Duration::from_millis(250);

/// A number that is another after every commit that changed an alert.
#[derive(Debug, Default)]
pub(super) struct Generation {
    number: AtomicU64,
    is_listening: AtomicBool,
}

impl Generation {
    /// The number.
    pub(super) fn number(&self) -> u64 {
        if self.is_listening.load(Ordering::Acquire) {
            return self.number.load(Ordering::Acquire);
        }
        self.number.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Moves it.
    pub(super) fn changed(&self) {
        self.number.fetch_add(1, Ordering::Release);
    }

    fn listen(&self) {
        // What happened while nobody listened.
        self.changed();
        self.is_listening.store(true, Ordering::Release);
    }

    fn deafen(&self) {
        self.is_listening.store(false, Ordering::Release);
    }
}

/// What is listened to, and where it is told.
pub(super) struct Listener {
    pub(super) connector: Connector,
    pub(super) generation: Arc<Generation>,
    pub(super) channel: String,
    /// What our own notifications say.
    pub(super) own: String,
}

impl Listener {
    /// Listens for ever; tells `begun` when it does for the first time.
    pub(super) async fn run(self, begun: oneshot::Sender<()>) {
        let mut begun = Some(begun);
        loop {
            match self.connector.connect().await {
                Ok(Made::Plain(client, connection)) => self.attend(&client, *connection, &mut begun).await,
                Ok(Made::Tls(client, connection)) => self.attend(&client, *connection, &mut begun).await,
                // Whoever asks for something is told; this goes on.
                Err(error) => tracing::debug!(reason = %error, "Changes by other processes cannot be heard"),
            }
            self.generation.deafen();
            sleep(PAUSE).await;
        }
    }

    /// Listens until the connection ends.
    async fn attend<S, T>(&self, client: &Client, connection: Connection<S, T>, begun: &mut Option<oneshot::Sender<()>>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        tokio::select! {
            () = self.hear(connection) => {}
            () = self.ask(client, begun) => {}
        }
    }

    async fn hear<S, T>(&self, mut connection: Connection<S, T>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(it) = message
                && it.payload() != self.own
            {
                self.generation.changed();
            }
        }
    }

    async fn ask(&self, client: &Client, begun: &mut Option<oneshot::Sender<()>>) {
        let listen = format!("LISTEN {}", self.channel);
        if !matches!(timeout(ANSWER, client.batch_execute(&listen)).await, Ok(Ok(()))) {
            return;
        }
        self.generation.listen();
        if let Some(begun) = begun.take() {
            // Whoever waited for it may have gone.
            let _ = begun.send(());
        }
        while matches!(timeout(ANSWER, client.batch_execute("")).await, Ok(Ok(()))) {
            sleep(ASK_EVERY).await;
        }
    }
}
