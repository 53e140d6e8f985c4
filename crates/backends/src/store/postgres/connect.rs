//! How a connection is made: to the first host that takes writes, with TLS as the settings say.

use std::time::Duration;

use tokio_postgres::config::{self, TargetSessionAttrs};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, Error, NoTls, Socket};

use super::settings::{Settings, SslMode};
use super::tls::{Stream, Tls};
use crate::store::StoreError;

/// How often a silent connection is asked whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Under which name we are listed at the server.
const APPLICATION: &str = "bartizan";

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: Option<Tls>,
}

/// A connection that was just made, and what moves its bytes.
pub(super) enum Made {
    /// Without TLS, and none was to be had.
    Plain(Client, Box<Connection<Socket, NoTlsStream>>),
    /// With it, if the server can.
    Tls(Client, Box<Connection<Socket, Stream<Socket>>>),
}

impl Connector {
    /// Prepares what the settings say.
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self { config: config_of(settings), tls: tls_of(settings)? })
    }

    /// Connects; on a runtime.
    pub(super) async fn connect(&self) -> Result<Made, Error> {
        Ok(match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                Made::Plain(client, Box::new(connection))
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                Made::Tls(client, Box::new(connection))
            }
        })
    }
}

fn config_of(settings: &Settings) -> Config {
    let mut config = Config::new();
    for (host, port) in &settings.hosts {
        config.host(host).port(*port);
    }
    config
        .user(&settings.user)
        .dbname(&settings.database)
        .application_name(APPLICATION)
        .connect_timeout(settings.connect_timeout)
        .tcp_user_timeout(settings.statement_timeout)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE)
        .keepalives_retries(3)
        // Of several hosts the one that is the primary now.
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .ssl_mode(match settings.ssl_mode {
            SslMode::Disable => config::SslMode::Disable,
            SslMode::Prefer => config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyFull => config::SslMode::Require,
        });
    if !settings.password.is_empty() {
        config.password(settings.password.reveal());
    }
    config
}

fn tls_of(settings: &Settings) -> Result<Option<Tls>, StoreError> {
    match (settings.ssl_mode, &settings.connector) {
        (SslMode::Disable, _) => Ok(None),
        (SslMode::Prefer | SslMode::Require, _) => {
            Tls::unverified().map(Some).map_err(|it| StoreError::Refused(format!("TLS cannot be spoken: {it}")))
        }
        (SslMode::VerifyFull, Some(connector)) => Ok(Some(Tls::new(connector.clone()))),
        (SslMode::VerifyFull, None) => {
            Err(StoreError::Refused("there is nobody by whom the certificate could be verified".to_owned()))
        }
    }
}
