//! What a running server looks after beside its work: changed certificates, which keys were used, the
//! outbox.

use std::sync::Arc;
use std::time::Duration;

use backends::store::outbox::OutboxLimits;

use crate::http::auth::Auth;
use crate::http::deliveries::Deliveries;
use crate::http::listener::{Stop, stopped};
use crate::http::tls::Certificates;

/// How often the files of certificate and key are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(3);
/// How often it is written which keys were used.
const USES_EVERY: Duration = Duration::from_secs(60);

/// How often the outbox is counted, and looked through for what is too old or too much.
const OUTBOX_EVERY: Duration = Duration::from_secs(5);

/// Takes changed certificates until `stop`.
pub(crate) async fn renew_certificates(certificates: Arc<Certificates>, stop: Stop) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(CERTIFICATES_EVERY) => {}
            () = stopped(stop.clone()) => return,
        }
        let certificates = certificates.clone();
        // One that panicked is tried again.
        let _ = tokio::task::spawn_blocking(move || certificates.look()).await;
    }
}

/// Writes which keys were used until `stop`.
pub(crate) async fn note_key_uses(auth: Arc<Auth>, stop: Stop) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(USES_EVERY) => {}
            () = stopped(stop.clone()) => return,
        }
        let auth = auth.clone();
        // What could not be written is written the next time.
        let _ = tokio::task::spawn_blocking(move || auth.note_uses()).await;
    }
}

/// Counts the outbox and keeps it within its limits until `stop`.
pub(crate) async fn tend_outbox(deliveries: Arc<Deliveries>, limits: OutboxLimits, stop: Stop) {
    loop {
        let tended = deliveries.clone();
        // What could not be done is done the next time.
        let _ = tokio::task::spawn_blocking(move || tended.tend(&limits)).await;
        tokio::select! {
            () = tokio::time::sleep(OUTBOX_EVERY) => {}
            () = stopped(stop.clone()) => return,
        }
    }
}
