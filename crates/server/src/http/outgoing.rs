//! The body of a response: whole, or made piece by piece while it is sent.

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use web::answer::{Sent, Stream};

/// How many pieces are made ahead of the receiver: one is on its way while the next is made.
const PIECES_AHEAD: usize = 2;
/// How long a receiver may take nothing before the stream is given up, with the thread that makes it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body of a response, and who is to be told that it went out.
pub(crate) struct Outgoing {
    content: Content,
    sent: Option<Sent>,
}

/// What a body is made of.
enum Content {
    /// All of it; `None` once it is sent.
    Whole(Option<Bytes>),
    /// In pieces, as they are made.
    Pieces(Receiver<Piece>),
    /// Nothing more.
    Ended,
}

/// What the thread that makes a body says.
enum Piece {
    /// More.
    More(Bytes),
    /// That was all: without this word the body is cut off, and the receiver is told.
    End,
}

impl Outgoing {
    /// A body that is there.
    pub(crate) const fn whole(bytes: Bytes) -> Self {
        Self { content: Content::Whole(Some(bytes)), sent: None }
    }

    /// Has `sent` told once all of it was handed over.
    pub(crate) fn telling(mut self, sent: Option<Sent>) -> Self {
        self.sent = sent;
        self
    }

    /// A body that `stream` makes on a thread of its own, at the pace of the receiver. Must be called in a runtime.
    pub(crate) fn made_by(stream: Stream) -> Self {
        let (sender, receiver) = channel(PIECES_AHEAD);
        let handle = Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut take = |piece: Bytes| send(&handle, &sender, Piece::More(piece));
            if stream.run(&mut take).is_ok() {
                // A receiver that is gone needs no end.
                let _ = send(&handle, &sender, Piece::End);
            }
        });
        Self { content: Content::Pieces(receiver), sent: None }
    }
}

fn send(handle: &Handle, sender: &Sender<Piece>, piece: Piece) -> ControlFlow<()> {
    match handle.block_on(tokio::time::timeout(PATIENCE, sender.send(piece))) {
        Ok(Ok(())) => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

impl Drop for Outgoing {
    /// A connection drops a body when it has taken its end, or when it breaks.
    fn drop(&mut self) {
        let is_over = match &self.content {
            Content::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Content::Pieces(_) => false,
            Content::Ended => true,
        };
        if let Some(sent) = self.sent.take().filter(|_| is_over) {
            sent.tell();
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut self.content {
            Content::Whole(bytes) => {
                return Poll::Ready(bytes.take().filter(|it| !it.is_empty()).map(|it| Ok(Frame::data(it))));
            }
            Content::Ended => return Poll::Ready(None),
            Content::Pieces(receiver) => std::task::ready!(receiver.poll_recv(context)),
        };
        if let Some(Piece::More(bytes)) = piece {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let is_whole = matches!(piece, Some(Piece::End));
        self.content = Content::Ended;
        if !is_whole {
            self.sent = None;
        }
        Poll::Ready(if is_whole { None } else { Some(Err(io::ErrorKind::UnexpectedEof.into())) })
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Content::Pieces(_) => false,
            Content::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |it| it.len() as u64)),
            Content::Pieces(_) => SizeHint::default(),
            Content::Ended => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use web::answer::Broken;

    use super::*;

    /// What arrives of a body, and whether its end did.
    async fn received(mut body: Outgoing) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap()),
                Err(_) => return (bytes, false),
            }
        }
        (bytes, true)
    }

    #[tokio::test]
    async fn every_piece_arrives_in_order_and_then_the_end() {
        let stream = Stream::new(|take| {
            for number in 0..100_u8 {
                assert!(take(Bytes::copy_from_slice(&[number])).is_continue());
            }
            Ok(())
        });
        assert_eq!(received(Outgoing::made_by(stream)).await, ((0..100).collect(), true));
        assert_eq!(received(Outgoing::whole(Bytes::from_static(b"all"))).await, (b"all".to_vec(), true));
        assert_eq!(received(Outgoing::whole(Bytes::new())).await, (Vec::new(), true));
    }

    #[tokio::test]
    async fn what_breaks_off_is_not_taken_for_the_whole() {
        let broken = Stream::new(|take| {
            let _ = take(Bytes::from_static(b"half"));
            Err(Broken)
        });
        assert_eq!(received(Outgoing::made_by(broken)).await, (b"half".to_vec(), false));
    }

    #[tokio::test]
    async fn only_a_body_that_went_out_whole_is_told_of() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};
        let told = Arc::new(AtomicUsize::new(0));
        let tell = || {
            let told = told.clone();
            Some(Sent::new(move || {
                told.fetch_add(1, Ordering::Relaxed);
            }))
        };
        let good = || {
            Stream::new(|take| {
                let _ = take(Bytes::from_static(b"all"));
                Ok(())
            })
        };
        received(Outgoing::made_by(good()).telling(tell())).await;
        received(Outgoing::whole(Bytes::from_static(b"all")).telling(tell())).await;
        assert_eq!(told.load(Ordering::Relaxed), 2);

        drop(Outgoing::made_by(good()).telling(tell()));
        drop(Outgoing::whole(Bytes::from_static(b"all")).telling(tell()));
        received(Outgoing::made_by(Stream::new(|_| Err(Broken))).telling(tell())).await;
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_receiver_that_leaves_ends_the_stream() {
        let (told, left) = std::sync::mpsc::channel();
        let endless = Stream::new(move |take| {
            while take(Bytes::from_static(b"x")).is_continue() {}
            let _ = told.send(());
            Ok(())
        });
        drop(Outgoing::made_by(endless));
        let left = tokio::task::spawn_blocking(move || left.recv_timeout(Duration::from_secs(10)));
        assert!(left.await.unwrap().is_ok());
    }
}
