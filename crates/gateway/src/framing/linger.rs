//! The end of a connection whose client still sends: closed at once, it would be reset, and the client lose its answer.

use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// How long a client may take to notice: two round trips to the other end of the world, and time to read a page.
const TIME_MAX: Duration = Duration::from_secs(2);
/// How much is read meanwhile and thrown away, in bytes: more than is on the way in most networks.
const BYTES_MAX: usize = 1 << 20;
/// How much is read at once.
const READ_BYTES: usize = 8 << 10;

/// What is left of a connection after the last byte was sent.
pub(super) struct Linger {
    timer: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Linger {
    pub(super) fn new() -> Self {
        Self { timer: Box::pin(tokio::time::sleep(TIME_MAX)), bytes: 0 }
    }

    /// Reads and throws away; ready when the client is done, or time or patience is.
    pub(super) fn poll(&mut self, stream: &mut (impl AsyncRead + Unpin), context: &mut Context<'_>) -> Poll<()> {
        while self.bytes < BYTES_MAX && self.timer.as_mut().poll(context).is_pending() {
            let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut read = ReadBuf::uninit(&mut room);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut read)) {
                Ok(()) if !read.filled().is_empty() => self.bytes += read.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn linger(stream: &mut (impl AsyncRead + Unpin)) -> usize {
        let mut linger = Linger::new();
        std::future::poll_fn(|context| linger.poll(stream, context)).await;
        linger.bytes
    }

    #[tokio::test]
    async fn ends_with_the_client_and_at_the_limit() {
        for (sent, expected) in [(0, 0), (1000, 1000), (BYTES_MAX, BYTES_MAX), (BYTES_MAX + READ_BYTES, BYTES_MAX)] {
            let (mut client, mut server) = tokio::io::duplex(4 << 20);
            client.write_all(&vec![0; sent]).await.unwrap();
            drop(client);
            assert_eq!(linger(&mut server).await, expected);
        }
    }
}
