//! TLS with the certificate of the fixtures.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A file of the fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls-for-tests-only").join(name)
}

/// The section of a configuration that names the pair of the fixtures.
pub(crate) fn section() -> String {
    format!("[tls]\ncert = {:?}\nkey = {:?}\n", fixture("first.crt"), fixture("first.key"))
}

/// Connects as somebody who trusts the certificate and speaks this protocol; the handshake is done.
pub(crate) fn connect(port: u16, protocol: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("first.crt")).expect("it is a fixture")).expect("it is one");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("the client is sound");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).expect("the two agree");
    }
    StreamOwned::new(connection, stream)
}

/// Sends a request without a body; returns the whole answer.
pub(crate) fn ask(port: u16, request: &str) -> String {
    let mut stream = connect(port, b"http/1.1");
    let text = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("it can be sent");
    let mut answer = Vec::new();
    // How the connection ends is not the question here.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
