//! A broker: where it is, who we are there, and the connection to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use tokio::time::timeout;

use crate::dial::{DialError, Dialer};
use crate::tls;

/// What an address looks like, for complaints.
pub const WANTED: &str =
    "an address as `amqp://USER@HOST:5672/VHOST` or `amqps://...`, with the password in `password`";
/// How long a connection may take, from the name to the open virtual host.
const CONNECT: Duration = Duration::from_secs(15);
/// How long it may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a broker could not be used. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum AmqpError {
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It is not reached, refused what was asked, or closed the connection.
    #[error("{}", text_of(.0))]
    Broker(#[from] lapin::Error),
    /// The certificates that are believed cannot be read.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// There is no queue of that name.
    #[error("the queue is not there")]
    NoQueue,
    /// What is to be a stream is another kind of queue.
    #[error("the queue is no stream: delete it, or choose another name")]
    NoStream,
    /// It ended the subscription: the queue was deleted, or moved.
    #[error("the broker cancelled the subscription; the queue may have been deleted")]
    Cancelled,
    /// It was lost while nobody looked.
    #[error("the connection was lost")]
    Lost,
}

/// What the other side said where it said something, without the words of the library around it.
fn text_of(error: &lapin::Error) -> String {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(it) => it.get_message().to_string(),
        lapin::ErrorKind::IOError(it) => it.to_string(),
        _ => error.to_string(),
    }
}

/// A broker that can be connected to. It does not print its password.
#[derive(Clone)]
pub struct Broker {
    uri: AMQPUri,
    dialer: Dialer,
}

impl fmt::Debug for Broker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Broker({self})")
    }
}

/// Where it is, without secrets.
impl fmt::Display for Broker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls() { "amqps" } else { "amqp" };
        let authority = &self.uri.authority;
        write!(out, "{scheme}://{}:{}/{}", authority.host, authority.port, written(&self.uri.vhost))
    }
}

/// A virtual host as it stands in an address: that which is called `/` as `%2f`.
fn written(vhost: &str) -> String {
    vhost.replace('%', "%25").replace('/', "%2f")
}

impl Broker {
    /// Reads an address; `password` goes before one that stands in it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without the address.
    pub fn parse(address: &str, password: Option<&str>, dialer: &Dialer) -> Result<Self, String> {
        let wrong = || format!("must be {WANTED}");
        let authority = address.split_once("://").map_or("", |it| it.1);
        let authority = authority.split(['/', '?']).next().unwrap_or_default();
        let (user, host) = authority.rsplit_once('@').ok_or_else(wrong)?;
        let mut uri: AMQPUri = address.parse().map_err(|_| wrong())?;
        if host.is_empty() || user.is_empty() || user.starts_with(':') {
            return Err(wrong());
        }
        match password {
            Some(it) => uri.authority.userinfo.password = it.to_owned(),
            // The library would take one that everybody knows.
            None if !user.contains(':') => return Err("has no password: give `password`".to_owned()),
            None => {}
        }
        if address.split_once('?').is_some_and(|it| it.1.contains("auth_mechanism")) {
            return Err("must not choose how to log in".to_owned());
        }
        // The library would connect to `localhost` where an address of IPv6 is written.
        let host = host.strip_prefix('[').map_or_else(|| host.split(':').next(), |it| it.split(']').next());
        uri.authority.host = host.filter(|it| !it.is_empty()).ok_or_else(wrong)?.to_owned();
        Ok(Self { uri, dialer: dialer.clone() })
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.uri.authority.host
    }

    /// What an exchange of it is called, without secrets.
    #[must_use]
    pub fn target(&self, exchange: &str) -> String {
        format!("{self} exchange {exchange}")
    }

    const fn is_tls(&self) -> bool {
        matches!(self.uri.scheme, AMQPScheme::AMQPS)
    }

    /// Connects; `name` is what the broker shows.
    pub(super) async fn connect(&self, name: &str) -> Result<Connection, AmqpError> {
        let roots = if self.is_tls() { Some(tls::bundle(self.dialer.bundle(), "outbound.ca")?.1) } else { None };
        let dialer = self.dialer.clone();
        let properties = ConnectionProperties::default().with_connection_name(format!("bartizan {name}").into());
        let runtime = lapin::runtime::default_runtime()?;
        let socket = Arc::new(OnceLock::new());
        let held = socket.clone();
        let connecting = Connection::connector(
            self.uri.clone(),
            runtime,
            async move |uri, runtime| {
                let failed = |it: DialError| lapin::Error::from(io::Error::other(it.to_string()));
                let authority = &uri.authority;
                let addresses = dialer.addresses(&authority.host).await.map_err(failed)?;
                let addresses: Vec<SocketAddr> =
                    addresses.into_iter().map(|it| SocketAddr::new(it, authority.port)).collect();
                let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    // A reply must not wait for more.
                    let _ = plain.get_ref().set_nodelay(true);
                    let _ = held.set(std::net::TcpStream::from(plain.get_ref().as_fd().try_clone_to_owned()?));
                }
                let Some(roots) = &roots else { return Ok(stream) };
                let config = lapin::tcp::TLSConfig { identity: None, cert_chain: Some(roots) };
                match stream.into_tls(&authority.host, config).await? {
                    // Without a backend the library gives back what it was given, and a password would travel in the clear.
                    AsyncTcpStream::Plain(_) => Err(io::Error::other("no TLS is spoken").into()),
                    encrypted => Ok(encrypted),
                }
            },
            properties,
        );
        let Ok(connected) = timeout(CONNECT, connecting).await else {
            // The thread of the library would wait for the other side for ever.
            if let Some(socket) = socket.get() {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
            return Err(AmqpError::Timeout(CONNECT));
        };
        Ok(connected?)
    }
}

/// Says goodbye, if the other side still listens.
pub(super) async fn close(connection: &Connection) {
    // It ends either way.
    let _ = timeout(GOODBYE, connection.close(200, "done".into())).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Guard;
    use crate::resolve::System;

    fn parse(address: &str, password: Option<&str>) -> Result<Broker, String> {
        Broker::parse(address, password, &Dialer::new(Guard::new(Vec::new()), Arc::new(System), None))
    }

    #[track_caller]
    fn check(address: &str, expected: Result<(&str, &str, u16, &str), &str>) {
        let actual = parse(address, None);
        let actual = actual.as_ref().map(|it| {
            let authority = &it.uri.authority;
            (authority.userinfo.password.as_str(), it.host(), authority.port, it.uri.vhost.as_str())
        });
        match (actual, expected) {
            (Ok(actual), Ok(expected)) => assert_eq!(actual, expected, "{address}"),
            (Err(actual), Err(expected)) => assert!(actual.contains(expected), "{address}: {actual}"),
            (actual, _) => panic!("{address}: {actual:?}"),
        }
    }

    #[test]
    fn an_address_names_a_user_and_a_place() {
        check("amqp://a:b@h", Ok(("b", "h", 5672, "/")));
        check("amqps://a:b@h:1/%2f", Ok(("b", "h", 1, "/")));
        check("amqp://a:p%40ss@[::1]:1/shop?heartbeat=2", Ok(("p@ss", "::1", 1, "shop")));
        check("amqp://a:b@192.0.2.1:7/", Ok(("b", "192.0.2.1", 7, "")));
        check("amqp://a:b@:7/", Err("must be an address as"));
        check("amqp://h", Err("must be an address as"));
        check("amqp://@h", Err("must be an address as"));
        check("amqp://:b@h", Err("must be an address as"));
        check("amqp://a@h", Err("has no password"));
        check("http://a:b@h", Err("must be an address as"));
        check("amqp://a:b@", Err("must be an address as"));
        check("amqp://a:b@h?auth_mechanism=anonymous", Err("must not choose"));
        check("", Err("must be an address as"));
    }

    #[test]
    fn no_password_is_shown() {
        let broker = parse("amqp://a:hidden@h/v", Some("secret")).unwrap();
        assert_eq!(broker.uri.authority.userinfo.password, "secret");
        assert_eq!(format!("{broker} {broker:?}"), "amqp://h:5672/v Broker(amqp://h:5672/v)");
    }

    #[test]
    fn a_virtual_host_is_shown_as_it_is_written() {
        for (address, expected) in [
            ("amqp://a:b@h", "amqp://h:5672/%2f"),
            ("amqp://a:b@h/%2f", "amqp://h:5672/%2f"),
            ("amqp://a:b@h/a%2fb", "amqp://h:5672/a%2fb"),
            ("amqp://a:b@h/", "amqp://h:5672/"),
        ] {
            assert_eq!(parse(address, None).unwrap().to_string(), expected, "{address}");
        }
    }
}
