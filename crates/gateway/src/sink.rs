//! The sink: what takes the events of the gateway.

use std::future::Future;
use std::pin::Pin;

use model::intake::{IngestError, Receipt, Submission};

/// What became of a submission, once it is known.
pub type Submitted = Pin<Box<dyn Future<Output = Result<Receipt, IngestError>> + Send>>;

/// Takes the events of the gateway; the server gives one.
pub trait Sink: Send + Sync {
    /// Hands a submission over; the answer comes once it is durable.
    ///
    /// # Errors
    ///
    /// [`IngestError`]; nothing of it was taken then.
    fn submit(&self, submission: Submission) -> Submitted;
}
