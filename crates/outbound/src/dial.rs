//! A connection to somewhere: resolved, checked and made in one step, so that nothing can change in between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::guard::{Guard, is_private};
use crate::resolve::{ADDRESSES_MAX, Resolve};
use crate::tls;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no connection. No variant holds more of an address than its host.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("`{host}` cannot be resolved")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: Option<io::Error>,
    },
    /// Every address of the name is one that may not be connected to.
    #[error("`{host}` is {address}, which may not be connected to; `outbound.allow` lists what may")]
    Denied {
        /// The name.
        host: String,
        /// The first of its addresses.
        address: IpAddr,
    },
    /// It did not answer in time.
    #[error("no connection to `{host}` within {} s", after.as_secs())]
    Timeout {
        /// The name.
        host: String,
        /// The time it had.
        after: Duration,
    },
    /// It refused, or cannot be reached.
    #[error("no connection to `{host}`: {source}")]
    Connect {
        /// The name.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It does not speak TLS as it should, or nobody vouches for it.
    #[error("no TLS with `{host}`: {reason}")]
    Tls {
        /// The name.
        host: String,
        /// What is wrong.
        reason: String,
    },
}

impl DialError {
    /// Whether it would be the same the next time: a setting must be changed first.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }
}

/// Makes connections.
#[derive(Clone)]
pub struct Dialer {
    guard: Guard,
    resolver: Arc<dyn Resolve>,
    bundle: Option<PathBuf>,
    tls: Arc<OnceLock<Result<TlsConnector, String>>>,
    believes_written: bool,
}

impl Dialer {
    /// Makes a dialer that connects to what `guard` allows and believes the authorities in `bundle`, else those of the
    /// system; they are read when the first connection needs them.
    #[must_use]
    pub fn new(guard: Guard, resolver: Arc<dyn Resolve>, bundle: Option<PathBuf>) -> Self {
        Self { guard, resolver, bundle, tls: Arc::default(), believes_written: false }
    }

    /// Lets a private or loopback address through where it is written as such, or as `localhost`: for hosts that only the
    /// operator names. A name that leads there is denied as before, and so is a metadata service in any writing.
    #[must_use]
    pub fn believing_written(mut self) -> Self {
        self.believes_written = true;
        self
    }

    /// Whether `host` is an address, written as such, that may not be connected to; a name is judged when it is resolved.
    #[must_use]
    pub fn refuses(&self, host: &str) -> bool {
        host.parse::<IpAddr>().is_ok_and(|it| !self.allows(host, it))
    }

    /// The authorities that are believed; `None`: those of the system.
    pub(crate) fn bundle(&self) -> Option<&std::path::Path> {
        self.bundle.as_deref()
    }

    /// Connects within `time`, with TLS if `is_tls`.
    ///
    /// # Errors
    ///
    /// [`DialError`].
    pub async fn dial(
        &self,
        host: &str,
        port: u16,
        is_tls: bool,
        time: Duration,
    ) -> Result<Box<dyn Stream>, DialError> {
        let dialing = async {
            let stream = self.connect(host, port).await?;
            if is_tls { self.encrypt(host, stream).await } else { Ok(Box::new(stream) as Box<dyn Stream>) }
        };
        let late = || DialError::Timeout { host: host.to_owned(), after: time };
        timeout(time, dialing).await.unwrap_or_else(|_| Err(late()))
    }

    /// Speaks TLS on a connection that is there.
    ///
    /// # Errors
    ///
    /// [`DialError::Tls`].
    pub async fn encrypt<S: Stream + 'static>(&self, host: &str, stream: S) -> Result<Box<dyn Stream>, DialError> {
        let failed = |reason: String| DialError::Tls { host: host.to_owned(), reason };
        let made = self
            .tls
            .get_or_init(|| tls::connector(self.bundle.as_deref(), "outbound.ca", &[]).map_err(|it| it.to_string()));
        let connector = made.as_ref().map_err(|it| failed(it.clone()))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|it| failed(it.to_string()))?;
        let stream = connector.connect(name, stream).await.map_err(|it| failed(it.to_string()))?;
        Ok(Box::new(stream))
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let mut refused = None;
        for address in self.addresses(host).await? {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => {
                    // A message must not wait for more.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => refused = Some(error),
            }
        }
        let source = refused.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
        Err(DialError::Connect { host: host.to_owned(), source })
    }

    fn allows(&self, host: &str, address: IpAddr) -> bool {
        let is_written = host.parse::<IpAddr>().is_ok() || host == "localhost";
        self.guard.allows(address) || (self.believes_written && is_written && is_private(address))
    }

    /// The addresses of `host` that may be connected to, at least one.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DialError> {
        let unresolved = |source| DialError::Resolve { host: host.to_owned(), source };
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve(host).await.map_err(|it| unresolved(Some(it)))?,
        };
        let first = *found.first().ok_or_else(|| unresolved(None))?;
        let allowed: Vec<IpAddr> = found.into_iter().take(ADDRESSES_MAX).filter(|it| self.allows(host, *it)).collect();
        if allowed.is_empty() {
            return Err(DialError::Denied { host: host.to_owned(), address: first });
        }
        Ok(allowed)
    }
}
