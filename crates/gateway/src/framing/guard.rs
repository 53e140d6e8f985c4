//! The guard: a connection that passes only messages whose end is beyond doubt.
//!
//! It follows the framing of each request, byte by byte, and holds a head back until it is complete and checked. A
//! refused one is replaced by a request of our own making, so that the answer comes at its place in the order.
//! It also keeps the time of heads and of writes. HTTP/2 does not pass here: its frames have one reading only.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::chunk::{bad, chunk_size, is_trailer};
use super::head::{self, Framing, HEAD_BYTES_MAX, Refusal};
use super::linger::Linger;
use super::link::{After, Link};

/// What the parser gets in place of a refused head.
const IN_PLACE: &[u8] = b"REFUSED / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";
/// How much is read at once; it lies on the stack, so that a silent connection holds no memory.
const READ_BYTES: usize = 8 << 10;
/// How long the line of a chunk's size may be, in bytes: sixteen digits and room for extensions.
const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;
/// How long trailers may be, in bytes.
const TRAILER_BYTES_MAX: usize = 8 << 10;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the first byte of a head, and from the start of the connection, to the end of the head.
    pub(crate) head: Duration,
    /// Between two requests.
    pub(crate) keep_alive: Duration,
    /// A write that makes no progress.
    pub(crate) write: Duration,
}

/// Where in a message the unread bytes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    /// A request for another protocol is with the service.
    Held,
    Tunnel,
    /// Nothing more is read.
    Closed,
}

/// What the timer of reading waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Head,
    NextHead,
}

/// A guarded connection.
pub(crate) struct Guard<S> {
    stream: S,
    link: Arc<Link>,
    times: Times,
    state: State,
    buffer: BytesMut,
    /// How much of `buffer` may pass.
    ready: usize,
    /// How much beyond `ready` is known to hold no end of a line.
    scanned: usize,
    /// Where the line begins, beyond `ready`.
    line: usize,
    is_eof: bool,
    /// What is wrong with the body, once all before it has passed.
    failure: Option<io::Error>,
    is_first: bool,
    waiting: Option<Waiting>,
    read_timer: Option<Pin<Box<Sleep>>>,
    is_writing: bool,
    write_timer: Option<Pin<Box<Sleep>>>,
    linger: Option<Linger>,
}

impl<S> Guard<S> {
    pub(crate) fn new(stream: S, link: Arc<Link>, times: Times) -> Self {
        Self {
            stream,
            link,
            times,
            state: State::Head,
            buffer: BytesMut::new(),
            ready: 0,
            scanned: 0,
            line: 0,
            is_eof: false,
            failure: None,
            is_first: true,
            waiting: None,
            read_timer: None,
            is_writing: false,
            write_timer: None,
            linger: None,
        }
    }

    /// Lets pass what can pass of the buffer.
    fn advance(&mut self) -> io::Result<()> {
        loop {
            let state = self.state;
            self.state = match state {
                State::Head => match self.take_head() {
                    Some(next) => next,
                    None => return Ok(()),
                },
                State::Length(left) | State::ChunkData(left) => {
                    let here = (self.buffer.len() - self.ready).min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.pass(here);
                    let left = left - here as u64;
                    match state {
                        _ if 0 < left && matches!(state, State::Length(_)) => State::Length(left),
                        _ if 0 < left => State::ChunkData(left),
                        State::Length(_) => State::Head,
                        _ => State::ChunkEnd,
                    }
                }
                State::ChunkSize => match self.take_line(CHUNK_LINE_BYTES_MAX)? {
                    Some(line) => match chunk_size(&self.buffer[line.clone()])? {
                        0 => self.pass_line(&line, State::Trailer),
                        size => self.pass_line(&line, State::ChunkData(size)),
                    },
                    None => return Ok(()),
                },
                State::ChunkEnd => match self.take_line(2)? {
                    Some(line) if line.is_empty() => self.pass_line(&line, State::ChunkSize),
                    Some(_) => return Err(bad("a chunk is longer than it says")),
                    None => return Ok(()),
                },
                State::Trailer => match self.take_line(TRAILER_BYTES_MAX)? {
                    Some(line) if line.is_empty() => self.pass_line(&line, State::Head),
                    Some(line) if is_trailer(&self.buffer[line.clone()]) => self.pass_line(&line, State::Trailer),
                    Some(_) => return Err(bad("a trailer is no header field")),
                    None => return Ok(()),
                },
                State::Tunnel => {
                    self.pass(self.buffer.len() - self.ready);
                    return Ok(());
                }
                State::Held | State::Closed => return Ok(()),
            };
            let is_left = self.ready < self.buffer.len();
            if !is_left {
                return Ok(());
            }
        }
    }

    fn pass(&mut self, bytes: usize) {
        self.ready += bytes;
        (self.scanned, self.line) = (0, 0);
    }

    fn pass_line(&mut self, line: &std::ops::Range<usize>, next: State) -> State {
        self.pass(line.end + 2 - self.ready);
        next
    }

    /// Finds a line that ends with CRLF; returns where it stands in the buffer, without its end.
    fn take_line(&mut self, bytes_max: usize) -> io::Result<Option<std::ops::Range<usize>>> {
        let unread = &self.buffer[self.ready..];
        match memchr::memchr(b'\n', &unread[self.scanned..]) {
            Some(at) if 0 < self.scanned + at && unread[self.scanned + at - 1] == b'\r' => {
                Ok(Some(self.ready..self.ready + self.scanned + at - 1))
            }
            Some(_) => Err(bad("a line of a chunked body does not end with CRLF")),
            None if bytes_max < unread.len() => Err(bad("a line of a chunked body is too long")),
            None => {
                self.scanned = unread.len();
                Ok(None)
            }
        }
    }

    /// Looks for a whole head and checks it; returns what follows it.
    fn take_head(&mut self) -> Option<State> {
        loop {
            let unread = &self.buffer[self.ready..];
            let Some(at) = memchr::memchr(b'\n', &unread[self.scanned..]).map(|it| self.scanned + it) else {
                self.scanned = unread.len();
                return (HEAD_BYTES_MAX < unread.len()).then(|| self.refuse(431, "head-size"));
            };
            if at == 0 || unread[at - 1] != b'\r' {
                return Some(self.refuse(400, "line-end"));
            }
            if at - 1 != self.line {
                (self.scanned, self.line) = (at + 1, at + 1);
                continue;
            }
            if self.line == 0 {
                // An empty line before a request is passed over. Source: RFC 9112, section 2.2.
                self.skip(at + 1);
                continue;
            }
            if HEAD_BYTES_MAX < at {
                return Some(self.refuse(431, "head-size"));
            }
            return Some(self.end_head(at + 1));
        }
    }

    fn skip(&mut self, bytes: usize) {
        if self.ready == 0 {
            self.buffer.advance(bytes);
        } else {
            let rest = self.buffer.split_off(self.ready + bytes);
            self.buffer.truncate(self.ready);
            self.buffer.unsplit(rest);
        }
        (self.scanned, self.line) = (0, 0);
    }

    fn end_head(&mut self, bytes: usize) -> State {
        let checked = head::check(&self.buffer[self.ready..self.ready + bytes]);
        self.waiting = None;
        self.is_first = false;
        match checked {
            Ok(head) => {
                self.pass(bytes);
                match head.body {
                    _ if head.is_upgrade => {
                        self.link.hold();
                        State::Held
                    }
                    Framing::None => State::Head,
                    Framing::Length(length) => State::Length(length),
                    Framing::Chunked => State::ChunkSize,
                }
            }
            Err(refusal) => self.replace(refusal),
        }
    }

    fn refuse(&mut self, status: u16, check: &'static str) -> State {
        let unread = &self.buffer[self.ready..];
        let refusal = head::refusal(&unread[..unread.len().min(HEAD_BYTES_MAX)], status, check);
        self.replace(refusal)
    }

    /// Puts the request of our own in the place of what is refused, and reads no further.
    fn replace(&mut self, refusal: Refusal) -> State {
        self.link.refuse(refusal);
        self.buffer.truncate(self.ready);
        self.buffer.extend_from_slice(IN_PLACE);
        self.pass(IN_PLACE.len());
        State::Closed
    }

    /// Whether the client may be in the middle of sending what nobody will read.
    const fn is_unread(&self) -> bool {
        !self.is_eof && !matches!(self.state, State::Head | State::Held | State::Tunnel)
    }

    /// What has come of a head that is not complete.
    fn has_part_of_head(&self) -> bool {
        self.ready < self.buffer.len()
    }

    /// Looks at the timer of reading; returns whether the time is over.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let is_head = self.is_first || self.has_part_of_head();
        let waiting = if is_head { Waiting::Head } else { Waiting::NextHead };
        let timer = self.read_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::MAX)));
        if self.waiting != Some(waiting) {
            self.waiting = Some(waiting);
            let time = if is_head { self.times.head } else { self.times.keep_alive };
            timer.as_mut().reset(Instant::now() + time);
        }
        timer.as_mut().poll(context).is_ready()
    }

    fn hand_over(&mut self, out: &mut ReadBuf<'_>) {
        let bytes = self.ready.min(out.remaining());
        out.put_slice(&self.buffer[..bytes]);
        self.buffer.advance(bytes);
        self.ready -= bytes;
        if self.buffer.is_empty() {
            // Nothing is kept for a connection that waits.
            self.buffer = BytesMut::new();
        }
    }

    /// Goes on after the service has answered a request for another protocol; returns whether it has.
    fn leave_hold(&mut self, context: &Context<'_>) -> bool {
        let after = self.link.take_after(context);
        self.state = match after {
            None => return false,
            Some(After::Request) => State::Head,
            Some(After::Tunnel) => State::Tunnel,
        };
        self.failure = self.advance().err();
        true
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Reads into the buffer; `Ok(())` when there is something new.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut read = ReadBuf::uninit(&mut room);
        match Pin::new(&mut self.stream).poll_read(context, &mut read) {
            Poll::Ready(Ok(())) if read.filled().is_empty() => {
                self.is_eof = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                self.buffer.extend_from_slice(read.filled());
                self.failure = self.advance().err();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if self.state == State::Head && self.is_late(context) => {
                if self.has_part_of_head() {
                    self.state = self.refuse(408, "head-time");
                } else {
                    self.is_eof = true;
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads a body or a tunnel straight into `out`, all of which is room for it.
    fn read_through(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, out) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let bytes = (out.filled().len() - before) as u64;
        self.is_eof |= bytes == 0;
        self.state = match self.state {
            State::Length(left) if left <= bytes => State::Head,
            State::Length(left) => State::Length(left - bytes),
            other => other,
        };
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if 0 < this.ready {
                this.hand_over(out);
                return Poll::Ready(Ok(()));
            }
            if let Some(failure) = this.failure.take() {
                this.is_eof = true;
                return Poll::Ready(Err(failure));
            }
            if this.is_eof || out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match this.state {
                // Not the end: that would be taken for a client that is gone, and the answer would not be written.
                State::Closed => return Poll::Pending,
                State::Held => {
                    if !this.leave_hold(context) {
                        return Poll::Pending;
                    }
                }
                State::Length(left) if this.buffer.is_empty() && out.remaining() as u64 <= left => {
                    return this.read_through(context, out);
                }
                State::Tunnel if this.buffer.is_empty() => return this.read_through(context, out),
                _ => match this.fill(context) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Guard<S> {
    /// Keeps the time of a write that waits.
    fn watch<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_writing = false;
            return written;
        }
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::MAX)));
        if !self.is_writing {
            self.is_writing = true;
            timer.as_mut().reset(Instant::now() + self.times.write);
        }
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watch(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.watch(flushed, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            let shut = Pin::new(&mut this.stream).poll_shutdown(context);
            match this.watch(shut, context) {
                Poll::Ready(Ok(())) if this.is_unread() => {}
                other => return other,
            }
        }
        this.linger.get_or_insert_with(Linger::new).poll(&mut this.stream, context).map(Ok)
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
