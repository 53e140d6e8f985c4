//! The account of one request: opened with it, closed when its answer has ended, then handed to the recorder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::body::Progress;
use crate::record::Record;
use crate::record::recorder::Recorder;
use crate::upstream::connection::Connection;
use crate::upstream::group::Upstream;

/// After this time an answer that is still streamed is told of: detection waits two minutes for late events.
const TELL_AFTER: Duration = Duration::from_secs(60);

/// What is to be told of a request.
pub(crate) struct Account {
    record: Option<Box<Record>>,
    recorder: Arc<Recorder>,
    started: Instant,
    sent: u64,
    progress: Progress,
    /// The connection that serves another request once this answer was read to its end.
    lease: Option<(Arc<Upstream>, Connection)>,
}

impl Account {
    pub(crate) fn new(record: Box<Record>, recorder: Arc<Recorder>, started: Instant, progress: Progress) -> Self {
        Self { record: Some(record), recorder, started, sent: 0, progress, lease: None }
    }

    /// Takes the connection that the answer comes from.
    pub(crate) fn hold(&mut self, upstream: Arc<Upstream>, connection: Connection) {
        self.lease = Some((upstream, connection));
    }

    /// Counts bytes that were sent to the client.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        if TELL_AFTER <= self.started.elapsed() {
            self.tell();
        }
    }

    /// The answer has ended as it should.
    pub(crate) fn whole(&mut self) {
        if let Some((upstream, connection)) = self.lease.take()
            && self.progress.is_done()
        {
            upstream.keep(connection);
        }
        self.tell();
    }

    /// The answer broke off.
    pub(crate) fn broken(&mut self) {
        self.lease = None;
        if let Some(record) = &mut self.record {
            record.is_broken = true;
        }
        self.tell();
    }

    fn tell(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        record.latency = self.started.elapsed();
        record.response_bytes = self.sent;
        record.request_bytes = self.progress.bytes();
        self.recorder.push(&record);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(record) = &mut self.record {
            // Whoever asked is gone before the end.
            record.is_broken = true;
        }
        self.tell();
    }
}
