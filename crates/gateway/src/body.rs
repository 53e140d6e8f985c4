//! Bodies on their way: what was looked at first, then the rest as it comes; nothing is kept.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::account::Account;
use crate::idle::Busy;
use crate::pace::Pace;
use crate::stall::{Flow, PIECE_BYTES};

/// An error of a body.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// How far a request's body has come, for whoever holds the other end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<(AtomicU64, AtomicBool)>);

impl Progress {
    /// How many bytes of it came.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Whether all of it was handed on.
    pub(crate) fn is_done(&self) -> bool {
        self.0.1.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn finish(&self) {
        self.0.1.store(true, Ordering::Relaxed);
    }
}

/// Ends a body that makes no progress.
struct Patience {
    time: Duration,
    is_waiting: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    const fn new(time: Duration) -> Self {
        Self { time, is_waiting: false, timer: None }
    }

    /// Passes `polled` on, or an error once it has been pending for too long.
    fn keep<T>(&mut self, polled: Poll<T>, context: &mut Context<'_>) -> Poll<Result<T, BodyError>> {
        if let Poll::Ready(it) = polled {
            self.is_waiting = false;
            return Poll::Ready(Ok(it));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.time)));
        if !self.is_waiting {
            self.is_waiting = true;
            timer.as_mut().reset(Instant::now() + self.time);
        }
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(late())),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn late() -> BodyError {
    io::Error::new(io::ErrorKind::TimedOut, "the body makes no progress").into()
}

/// The body of a request on its way to an upstream.
pub(crate) struct RequestBody {
    first: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Option<Incoming>,
    progress: Progress,
    patience: Patience,
    pace: Pace,
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RequestBody").field("bytes", &self.progress.bytes()).finish_non_exhaustive()
    }
}

/// Why the beginning of a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrefixError {
    Broken,
    Slow,
}

impl RequestBody {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self::new(VecDeque::new(), None, None, Pace::new(Duration::ZERO))
    }

    fn new(first: VecDeque<Bytes>, trailers: Option<HeaderMap>, rest: Option<Incoming>, pace: Pace) -> Self {
        let progress = Progress::default();
        progress.add(first.iter().map(Bytes::len).sum());
        let body = Self { first, trailers, rest, progress, patience: Patience::new(pace.time()), pace };
        if body.is_end_stream() {
            body.progress.finish();
        }
        body
    }

    /// Reads up to `wanted` bytes of `incoming` and keeps them in front of the rest. `time` is for no progress, and for
    /// each KiB.
    pub(crate) async fn begin(mut incoming: Incoming, wanted: usize, time: Duration) -> Result<Self, PrefixError> {
        let (mut first, mut bytes, mut trailers) = (VecDeque::new(), 0, None);
        let mut pace = Pace::new(time);
        while bytes < wanted && !incoming.is_end_stream() {
            let frame = std::future::poll_fn(|context| Pin::new(&mut incoming).poll_frame(context));
            pace.wait();
            let frame = match tokio::time::timeout(time, frame).await {
                Err(_) => return Err(PrefixError::Slow),
                Ok(Some(Err(_))) => return Err(PrefixError::Broken),
                Ok(None) => return Ok(Self::new(first, trailers, None, pace)),
                Ok(Some(Ok(frame))) => frame,
            };
            match frame.into_data() {
                Ok(data) => {
                    bytes += data.len();
                    if !pace.came(data.len()) {
                        return Err(PrefixError::Slow);
                    }
                    first.push_back(data);
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let rest = (!incoming.is_end_stream()).then_some(incoming);
        Ok(Self::new(first, trailers, rest, pace))
    }

    /// What was read of it so far, at most `wanted` bytes, in one piece.
    pub(crate) fn prefix(&self, wanted: usize) -> Bytes {
        match self.first.len() {
            0 => Bytes::new(),
            1 => self.first[0].slice(..self.first[0].len().min(wanted)),
            _ => {
                let mut whole: Vec<u8> = self.first.iter().flatten().copied().take(wanted).collect();
                whole.shrink_to_fit();
                Bytes::from(whole)
            }
        }
    }

    /// Whether all of it is at hand.
    pub(crate) const fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// The same body once more, if all of it is at hand.
    pub(crate) fn again(&self) -> Option<Self> {
        self.is_whole().then(|| Self::new(self.first.clone(), self.trailers.clone(), None, self.pace))
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let next = match (this.first.pop_front(), &mut this.rest) {
            (Some(data), _) => Some(Ok(Frame::data(data))),
            (None, Some(rest)) => {
                let polled = Pin::new(rest).poll_frame(context);
                let frame = match this.patience.keep(polled, context) {
                    Poll::Pending => {
                        this.pace.wait();
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(Ok(frame)) => frame,
                };
                if let Some(data) = frame.as_ref().and_then(|it| it.as_ref().ok()).and_then(Frame::data_ref) {
                    this.progress.add(data.len());
                    if !this.pace.came(data.len()) {
                        return Poll::Ready(Some(Err(late())));
                    }
                }
                frame.map(|it| it.map_err(Into::into))
            }
            (None, None) => this.trailers.take().map(|it| Ok(Frame::trailers(it))),
        };
        if next.is_none() || this.is_end_stream() {
            this.progress.finish();
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.trailers.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let here: u64 = self.first.iter().map(|it| it.len() as u64).sum();
        let Some(rest) = &self.rest else { return SizeHint::with_exact(here) };
        let of_rest = rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(here + of_rest.lower());
        if let Some(upper) = of_rest.upper() {
            hint.set_upper(here.saturating_add(upper));
        }
        hint
    }
}

/// The body of an answer on its way to the client.
pub(crate) struct Outgoing {
    content: Content,
    account: Option<Account>,
    /// What keeps its connection from being idle.
    busy: Option<Busy>,
    /// Tells who watches over the stream where it is.
    flow: Option<Flow>,
}

enum Content {
    Full(Option<Bytes>),
    Stream(Box<Streamed>),
}

struct Streamed {
    incoming: Incoming,
    /// What came and is not handed over yet.
    left: Bytes,
    patience: Patience,
}

impl Streamed {
    /// The next frame; of its data at most `bytes_max` bytes.
    fn poll(&mut self, context: &mut Context<'_>, bytes_max: usize) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left.is_empty() {
            let polled = Pin::new(&mut self.incoming).poll_frame(context);
            let frame = match self.patience.keep(polled, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok(frame)) => frame.map(|it| it.map_err(Into::into)),
            };
            match frame.map(|it| it.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.left = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = self.left.split_to(self.left.len().min(bytes_max));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (left, rest) = (self.left.len() as u64, self.incoming.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(left + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(left));
        }
        hint
    }
}

impl Outgoing {
    /// A body that is at hand.
    pub(crate) const fn full(bytes: Bytes) -> Self {
        Self { content: Content::Full(Some(bytes)), account: None, busy: None, flow: None }
    }

    /// The body of an upstream's answer; `time` is for no progress.
    pub(crate) fn stream(incoming: Incoming, time: Duration) -> Self {
        Self {
            content: Content::Stream(Box::new(Streamed {
                incoming,
                left: Bytes::new(),
                patience: Patience::new(time),
            })),
            account: None,
            busy: None,
            flow: None,
        }
    }

    /// Gives it the account that is closed with it.
    pub(crate) fn with(mut self, account: Account) -> Self {
        self.account = Some(account);
        self
    }

    /// Keeps its connection busy until it is sent, and has the stream watched over by whoever drives it.
    pub(crate) fn during(mut self, busy: Busy) -> Self {
        self.busy = Some(busy);
        self.flow = Flow::current();
        if let Some(flow) = &self.flow {
            flow.hand_over();
        }
        self
    }

    /// What it holds, as text.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        match &self.content {
            Content::Full(Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let next = match &mut this.content {
            Content::Full(bytes) => bytes.take().filter(|it| !it.is_empty()).map(|it| Ok(Frame::data(it))),
            Content::Stream(streamed) => {
                let bytes_max = if this.flow.is_some() { PIECE_BYTES } else { usize::MAX };
                match streamed.poll(context, bytes_max) {
                    Poll::Ready(next) => next,
                    Poll::Pending => {
                        this.flow.iter().for_each(Flow::wait);
                        return Poll::Pending;
                    }
                }
            }
        };
        this.flow.iter().for_each(Flow::hand_over);
        if let Some(account) = &mut this.account {
            match &next {
                Some(Ok(frame)) => account.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(_)) => account.broken(),
                None => account.whole(),
            }
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Content::Stream(streamed) => streamed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |it| it.len() as u64)),
            Content::Stream(streamed) => streamed.size_hint(),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let is_end = self.is_end_stream();
        if let Some(account) = &mut self.account {
            // A body of known length is not asked again after its last byte.
            if is_end {
                account.whole();
            }
        }
    }
}
