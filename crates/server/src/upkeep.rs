//! What a running server looks after beside its work: changed certificates.

use std::sync::Arc;
use std::time::Duration;

use crate::http::listener::{Stop, stopped};
use crate::http::tls::Certificates;

/// How often the files of certificate and key are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(3);

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
