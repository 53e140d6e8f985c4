//! The certificate and its key: read at the start, and again when their files change, for the connections from then on.
//!
//! A connection keeps the pair that it began with. A pair that will not do never replaces one that does.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use webpki::EndEntityCert;

use crate::config::Tls;
use crate::failure::Failure;

/// What [`Certificates::look`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// The files are as they were.
    Same,
    /// They changed, and what is there now is used from here on.
    Taken,
    /// They changed, and what is there will not do.
    Refused,
}

/// The pair in force, and the files that it comes from.
pub(crate) struct Certificates {
    files: Tls,
    host: Option<String>,
    state: Mutex<State>,
}

struct State {
    acceptor: TlsAcceptor,
    /// The digest of what was last looked at, good or not.
    seen: [u8; 32],
}

/// The content of both files.
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Certificates {
    /// Reads the pair.
    ///
    /// # Errors
    ///
    /// Bad usage, when a file cannot be read, is no PEM, or the two do not belong together.
    pub(crate) fn read(files: &Tls) -> Result<Self, Failure> {
        let pair = Pair::read(files).map_err(Failure::usage)?;
        let acceptor = pair.acceptor(files).map_err(Failure::usage)?;
        let host = pair.host();
        Ok(Self { files: files.clone(), host, state: Mutex::new(State { acceptor, seen: pair.digest() }) })
    }

    /// The first name of a host in the certificate that was read first; `None` without one, or with patterns only.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// What accepts the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.locked().acceptor.clone()
    }

    /// Looks at the files again. What is wrong with them is logged once; the former pair stays in force then. Blocks.
    pub(crate) fn look(&self) -> Looked {
        let pair = Pair::read(&self.files);
        let digest = pair.as_ref().map_or_else(|reason| Sha256::digest(reason.as_bytes()).into(), Pair::digest);
        if std::mem::replace(&mut self.locked().seen, digest) == digest {
            return Looked::Same;
        }
        match pair.and_then(|it| it.acceptor(&self.files)) {
            Ok(acceptor) => {
                self.locked().acceptor = acceptor;
                tracing::info!(cert = %self.files.cert.display(), "The certificate was read again; new connections get it");
                Looked::Taken
            }
            Err(reason) => {
                tracing::error!(%reason, "The changed certificate or key is not taken; the former pair stays in force");
                Looked::Refused
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("`{}` cannot be used: {error}", path.display())
}

impl Pair {
    fn read(files: &Tls) -> Result<Self, String> {
        let read = |path: &Path| fs::read(path).map_err(|it| unusable(path, &it));
        Ok(Self { cert: read(&files.cert)?, key: read(&files.key)? })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        // The length keeps the two apart.
        digest.update((self.cert.len() as u64).to_le_bytes());
        digest.update(&self.cert);
        digest.update(&self.key);
        digest.finalize().into()
    }

    fn host(&self) -> Option<String> {
        let der = CertificateDer::pem_slice_iter(&self.cert).next()?.ok()?;
        let certificate = EndEntityCert::try_from(&der).ok()?;
        certificate.valid_dns_names().find(|it| !it.starts_with('*')).map(str::to_owned)
    }

    fn acceptor(&self, files: &Tls) -> Result<TlsAcceptor, String> {
        let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.cert).collect();
        let certs = certs.map_err(|it| unusable(&files.cert, &it))?;
        if certs.is_empty() {
            return Err(unusable(&files.cert, &"there is no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|it| unusable(&files.key, &it))?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certs, key);
        let mut config = config.map_err(|it| unusable(&files.cert, &it))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::{TlsConnector, client, server};

    use super::*;

    struct Bench {
        _folder: tempfile::TempDir,
        files: Tls,
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls-for-tests-only").join(name)
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = Tls { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
            let bench = Self { _folder: folder, files };
            bench.put("first.crt", "first.key");
            bench
        }

        fn put(&self, cert: &str, key: &str) {
            fs::copy(fixture(cert), &self.files.cert).unwrap();
            fs::copy(fixture(key), &self.files.key).unwrap();
        }
    }

    type Connected = (client::TlsStream<DuplexStream>, server::TlsStream<DuplexStream>);

    /// Connects a client that trusts one of the certificates, and no other.
    async fn connect(certificates: &Certificates, trusted: &str) -> Option<Connected> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(fixture(trusted)).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let (near, far) = duplex(64 << 10);
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let (client, server) = tokio::join!(connector.connect(name, near), certificates.acceptor().accept(far));
        client.ok().zip(server.ok())
    }

    #[test]
    fn the_name_of_the_host_is_that_of_the_certificate() {
        assert_eq!(Certificates::read(&Bench::new().files).unwrap().host(), Some("localhost"));
    }

    #[tokio::test]
    async fn a_changed_pair_is_taken_and_open_connections_stay() {
        let bench = Bench::new();
        let certificates = Certificates::read(&bench.files).unwrap();
        assert_eq!(certificates.look(), Looked::Same);
        let (mut client, mut server) = connect(&certificates, "first.crt").await.unwrap();

        bench.put("second.crt", "second.key");
        assert_eq!(certificates.look(), Looked::Taken);
        assert_eq!(certificates.look(), Looked::Same);
        assert!(connect(&certificates, "second.crt").await.is_some());
        assert!(connect(&certificates, "first.crt").await.is_none());

        client.write_all(b"still here").await.unwrap();
        client.flush().await.unwrap();
        let mut read = [0; 10];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"still here");
    }

    #[tokio::test]
    async fn a_bad_pair_keeps_the_former() {
        let bench = Bench::new();
        let certificates = Certificates::read(&bench.files).unwrap();
        let spoil: [fn(&Tls); 4] = [
            |files| fs::write(&files.cert, "no PEM").unwrap(),
            |files| fs::write(&files.key, "").unwrap(),
            |files| fs::remove_file(&files.key).unwrap(),
            // Half of a change: the certificate is new, its key is not there yet.
            |files| fs::write(&files.cert, fs::read(fixture("second.crt")).unwrap()).unwrap(),
        ];
        for spoil in spoil {
            bench.put("first.crt", "first.key");
            certificates.look();
            spoil(&bench.files);
            assert_eq!(certificates.look(), Looked::Refused);
            assert_eq!(certificates.look(), Looked::Same);
            assert!(connect(&certificates, "first.crt").await.is_some());
        }
        bench.put("second.crt", "second.key");
        assert_eq!(certificates.look(), Looked::Taken);
        assert!(connect(&certificates, "second.crt").await.is_some());
    }

    #[test]
    fn a_start_with_a_bad_pair_names_the_file() {
        let bench = Bench::new();
        let refusal = |files: &Tls| Certificates::read(files).err().map(|it| (it.code, it.message)).unwrap();
        fs::write(&bench.files.cert, "no PEM").unwrap();
        let (code, message) = refusal(&bench.files);
        assert_eq!(code, crate::failure::USAGE);
        assert!(message.contains("cert.pem") && message.contains("no certificate"), "{message}");
        bench.put("first.crt", "second.key");
        assert!(refusal(&bench.files).1.contains("cert.pem"));
    }
}
