//! What the guard of a connection and the service behind it tell each other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use super::head::Refusal;

/// The method of the request that stands for a refused one. Nobody else can send it.
pub(crate) const REFUSED: &str = "REFUSED";

/// What guard and service tell each other.
#[derive(Debug, Default)]
pub(crate) struct Link {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    refusal: Option<Refusal>,
    after_upgrade: Option<After>,
    waker: Option<Waker>,
}

/// What follows a request for another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It was refused: the next request.
    Request,
    /// Bytes of the other protocol.
    Tunnel,
}

impl Link {
    /// Takes the refusal for which the request with the method [`REFUSED`] stands.
    pub(crate) fn take_refusal(&self) -> Option<Refusal> {
        self.inner().refusal.take()
    }

    /// Says what follows the request for another protocol.
    pub(crate) fn go_on(&self, after: After) {
        let waker = {
            let mut inner = self.inner();
            inner.after_upgrade = Some(after);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Keeps the refusal until the service takes it.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.inner().refusal = Some(refusal);
    }

    /// A request for another protocol goes to the service: what was said of one before it counts no more.
    pub(super) fn hold(&self) {
        self.inner().after_upgrade = None;
    }

    /// What follows the request for another protocol; when the service has not said it, it wakes `context` once it does.
    pub(super) fn take_after(&self, context: &Context<'_>) -> Option<After> {
        let mut inner = self.inner();
        let after = inner.after_upgrade.take();
        if after.is_none() {
            inner.waker = Some(context.waker().clone());
        }
        after
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
