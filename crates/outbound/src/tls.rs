//! TLS to others: which certificates are believed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Where systems keep the certificates that they believe.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no bundle of the system; one must be named, and this is how.
    #[error("the system has no list of certificate authorities; name one with `{0}`")]
    NoBundle(&'static str),
    /// The bundle cannot be read.
    #[error("the certificates in `{0}` cannot be read: {1}")]
    Unreadable(PathBuf, String),
}

/// Reads the authorities in `bundle`, else those of the system; returns where they are and what is there.
pub(crate) fn bundle(bundle: Option<&Path>, setting: &'static str) -> Result<(PathBuf, String), TlsError> {
    let system = || BUNDLES.iter().map(Path::new).find(|it| it.exists());
    let path = bundle.or_else(system).ok_or(TlsError::NoBundle(setting))?;
    let pem = std::fs::read(path).map_err(|it| TlsError::Unreadable(path.to_owned(), it.to_string()))?;
    Ok((path.to_owned(), String::from_utf8_lossy(&pem).into_owned()))
}

/// Makes a connector that believes the authorities in `bundle`, PEM; without one, those of the system. `setting` is how a
/// bundle is named, for complaints; `protocols` are offered to the other side (ALPN, RFC 7301), none when there are none.
///
/// # Errors
///
/// [`TlsError`], when there is no bundle or nothing in it can be used.
pub fn connector(bundle: Option<&Path>, setting: &'static str, protocols: &[&[u8]]) -> Result<TlsConnector, TlsError> {
    let (path, pem) = self::bundle(bundle, setting)?;
    let unreadable = |reason: String| TlsError::Unreadable(path.clone(), reason);
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|it| unreadable(it.to_string()))?;
        // Bundles hold certificates that are no authorities; they are of no use and no harm.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(unreadable("there is no certificate in it that can be used".to_owned()));
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    Ok(TlsConnector::from(Arc::new(config)))
}
