//! The sink: what takes the events of every source.

use std::future::Future;
use std::pin::Pin;

use model::intake::{IngestError, Receipt, Submission};
use model::time::Timestamp;

/// What became of a submission, once it is known.
pub type Submitted = Pin<Box<dyn Future<Output = Result<Receipt, IngestError>> + Send>>;

/// Takes the events of every source; the server gives one to each.
pub trait Sink: Send + Sync {
    /// Hands a submission over; the answer comes once it is durable.
    ///
    /// # Errors
    ///
    /// [`IngestError`]; nothing of it was taken then.
    fn submit(&self, submission: Submission) -> Submitted;

    /// The same for a thread that may wait.
    ///
    /// # Errors
    ///
    /// [`IngestError`]; nothing of it was taken then.
    fn submit_blocking(&self, submission: Submission) -> Result<Receipt, IngestError>;

    /// Counts a request that was refused before records could be told apart.
    fn count_refused_request(&self);

    /// Returns what was last remembered under `key` by [`Submission::marks`].
    fn mark(&self, key: &str) -> Option<Vec<u8>>;

    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
pub(crate) mod memory;
