//! Where the database is and how it is spoken to.

use std::fmt;
use std::time::Duration;

use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// The port of PostgreSQL where none is named.
const PORT: u16 = 5432;
/// How many hosts an address may name: each may take a connect timeout before the next is tried.
const HOSTS_MAX: usize = 8;
/// How long the name of a schema may be: that of the channel is made of it, and has at most 63.
const SCHEMA_CHARS_MAX: usize = 50;

/// Whether and how the connection is under TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server can; who it is is not verified.
    #[default]
    Prefer,
    /// Always; who the server is is not verified.
    Require,
    /// Always, and the certificate is by a known authority and of this host.
    VerifyFull,
}

/// A password. It does not print.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Keeps a password.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Password")
    }
}

/// Where the database is and how it is spoken to.
#[derive(Clone)]
pub struct Settings {
    /// Hosts with their ports, in the order in which they are tried; the first that takes writes is used.
    pub hosts: Vec<(String, u16)>,
    /// Who we are there.
    pub user: String,
    /// Our password; empty for none.
    pub password: Password,
    /// The database.
    pub database: String,
    /// The schema that holds the tables; made when it is missing.
    pub schema: String,
    /// Whether and how TLS is spoken.
    pub ssl_mode: SslMode,
    /// The file of the authorities that are believed, as the address names it.
    pub ssl_root_cert: Option<String>,
    /// Speaks TLS and says whom to believe; for [`SslMode::VerifyFull`] only.
    pub connector: Option<TlsConnector>,
    /// How many connections there are at most, beside one that listens and one that asks whether the server is there.
    pub connections_max: usize,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long a connection to one host may take to be made.
    pub connect_timeout: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Settings")
            .field("hosts", &self.hosts)
            .field("database", &self.database)
            .field("schema", &self.schema)
            .field("ssl_mode", &self.ssl_mode)
            .finish_non_exhaustive()
    }
}

/// What is wrong with an address. It never shows the address, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It begins with something else.
    #[error("begins with neither `postgres://` nor `postgresql://`")]
    Scheme,
    /// A part is missing.
    #[error("names no {0}: it is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`")]
    Missing(&'static str),
    /// A port is none.
    #[error("has the port `{0}`, and one is a number from 1 to 65535")]
    Port(String),
    /// Too many hosts.
    #[error("names {0} hosts, and at most {HOSTS_MAX} are tried")]
    Hosts(usize),
    /// Something follows a `%` that is no byte in hexadecimal, or no UTF-8 comes of it.
    #[error("has a broken `%` in its {0}")]
    Percent(&'static str),
    /// A parameter that is not known.
    #[error("has the parameter `{0}`; there are `schema`, `sslmode` and `sslrootcert`")]
    Parameter(String),
    /// A mode that is not known.
    #[error("has the `sslmode` `{0}`; there are `disable`, `prefer`, `require` and `verify-full`")]
    SslMode(String),
    /// A name that a schema cannot have.
    #[error(
        "has the `schema` `{0}`, and a name is of small letters, digits and `_`, not beginning with a digit or `pg_`"
    )]
    Schema(String),
    /// A file of authorities and nobody who is verified by it.
    #[error("has an `sslrootcert`, which counts with `sslmode=verify-full` only")]
    RootCert,
}

impl Settings {
    /// How many connections there are unless said otherwise: as many questions as the edges ask at once.
    pub const CONNECTIONS: usize = 12;
    /// How long a statement may take unless said otherwise; the longest of ours take a tenth of a second.
    pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a host may take to answer.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

    /// Reads `postgres://USER:PASSWORD@HOST:PORT[,HOST:PORT]/DATABASE?schema=NAME&sslmode=MODE&sslrootcert=FILE`.
    ///
    /// # Errors
    ///
    /// [`UrlError`], which part is wrong.
    pub fn of_url(url: &str) -> Result<Self, UrlError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or(UrlError::Scheme)?;
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').ok_or(UrlError::Missing("database"))?;
        let (who, hosts) = authority.rsplit_once('@').ok_or(UrlError::Missing("user"))?;
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let settings = Self {
            hosts: hosts_of(hosts)?,
            user: required("user", unescaped("user", user)?)?,
            password: Password::new(unescaped("password", password)?),
            database: required("database", unescaped("database", database)?)?,
            schema: "public".to_owned(),
            ssl_mode: SslMode::default(),
            ssl_root_cert: None,
            connector: None,
            connections_max: Self::CONNECTIONS,
            statement_timeout: Self::STATEMENT_TIMEOUT,
            connect_timeout: Self::CONNECT_TIMEOUT,
        };
        settings.with(parameters)
    }

    /// Takes the parameters in.
    fn with(mut self, parameters: &str) -> Result<Self, UrlError> {
        for parameter in parameters.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = unescaped("parameters", value)?;
            match name {
                "schema" => self.schema = schema_of(value)?,
                "sslmode" => self.ssl_mode = mode_of(value)?,
                "sslrootcert" => self.ssl_root_cert = Some(value),
                other => return Err(UrlError::Parameter(other.to_owned())),
            }
        }
        if self.ssl_root_cert.is_some() && self.ssl_mode != SslMode::VerifyFull {
            return Err(UrlError::RootCert);
        }
        Ok(self)
    }
}

fn required(what: &'static str, text: String) -> Result<String, UrlError> {
    if text.is_empty() { Err(UrlError::Missing(what)) } else { Ok(text) }
}

fn hosts_of(text: &str) -> Result<Vec<(String, u16)>, UrlError> {
    let hosts: Vec<_> = text.split(',').map(host_of).collect::<Result<_, _>>()?;
    if HOSTS_MAX < hosts.len() { Err(UrlError::Hosts(hosts.len())) } else { Ok(hosts) }
}

/// Reads `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn host_of(text: &str) -> Result<(String, u16), UrlError> {
    let (host, port) = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port =
        port.map_or(Ok(PORT), |it| it.parse().ok().filter(|it| *it != 0).ok_or_else(|| UrlError::Port(it.to_owned())));
    Ok((required("host", unescaped("host", host)?)?, port?))
}

fn mode_of(word: String) -> Result<SslMode, UrlError> {
    match word.as_str() {
        "disable" => Ok(SslMode::Disable),
        "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        "verify-full" => Ok(SslMode::VerifyFull),
        _ => Err(UrlError::SslMode(word)),
    }
}

/// A name that needs no quotes anywhere.
fn schema_of(name: String) -> Result<String, UrlError> {
    let is_plain = name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    let begins_well = name.bytes().next().is_some_and(|it| !it.is_ascii_digit()) && !name.starts_with("pg_");
    if is_plain && begins_well && name.len() <= SCHEMA_CHARS_MAX { Ok(name) } else { Err(UrlError::Schema(name)) }
}

/// Undoes `%XX`.
fn unescaped(part: &'static str, text: &str) -> Result<String, UrlError> {
    let broken = || UrlError::Percent(part);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = behind.get(..2).and_then(|it| std::str::from_utf8(it).ok()).ok_or_else(broken)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| broken())?);
        rest = &behind[2..];
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<(&str, &str, &str, &str), &str>) {
        let actual = Settings::of_url(url);
        let hosts =
            |it: &Settings| it.hosts.iter().map(|(host, port)| format!("{host} {port}")).collect::<Vec<_>>().join(",");
        let shown =
            actual.as_ref().map(|it| (hosts(it), it.user.clone(), it.password.reveal().to_owned(), it.schema.clone()));
        let expected = expected.map(|(a, b, c, d)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned()));
        assert_eq!(shown.map_err(ToString::to_string), expected.map_err(str::to_owned), "{url}");
        assert!(!format!("{actual:?}").contains("s3cret"), "{actual:?}");
    }

    #[test]
    fn an_address_is_taken_apart() {
        check("postgres://u:s3cret@h/d", Ok(("h 5432", "u", "s3cret", "public")));
        check("postgresql://u@h:7/d?schema=b_1&sslmode=require", Ok(("h 7", "u", "", "b_1")));
        check("postgres://u:p%40%2F%3a@a:1,[::1]:2,c/d", Ok(("a 1,::1 2,c 5432", "u", "p@/:", "public")));
        let settings = Settings::of_url("postgres://u@h/d?sslmode=verify-full&sslrootcert=/a%20b.pem").unwrap();
        assert_eq!((settings.ssl_mode, settings.ssl_root_cert.as_deref()), (SslMode::VerifyFull, Some("/a b.pem")));
    }

    #[test]
    fn what_is_wrong_is_named_and_the_password_is_not() {
        for (url, expected) in [
            ("mysql://u:s3cret@h/d", "begins with neither"),
            ("postgres://u:s3cret@h", "names no database"),
            ("postgres://u:s3cret@h/", "names no database"),
            ("postgres://h/d", "names no user"),
            ("postgres://:s3cret@h/d", "names no user"),
            ("postgres://u:s3cret@/d", "names no host"),
            ("postgres://u:s3cret@a,,b/d", "names no host"),
            ("postgres://u:s3cret@h:0/d", "has the port `0`"),
            ("postgres://u:s3cret@h:65536/d", "has the port `65536`"),
            ("postgres://u:s3cret%@h/d", "has a broken `%` in its password"),
            ("postgres://u:s3cret%ff@h/d", "has a broken `%` in its password"),
            ("postgres://u:s3cret@h/d?options=x", "has the parameter `options`"),
            ("postgres://u:s3cret@h/d?sslmode=verify-ca", "has the `sslmode` `verify-ca`"),
            ("postgres://u:s3cret@h/d?schema=A", "has the `schema` `A`"),
            ("postgres://u:s3cret@h/d?schema=pg_x", "has the `schema` `pg_x`"),
            ("postgres://u:s3cret@h/d?schema=", "has the `schema` ``"),
            ("postgres://u:s3cret@h/d?sslrootcert=a", "has an `sslrootcert`"),
            ("postgres://u:s3cret@1,2,3,4,5,6,7,8,9/d", "names 9 hosts"),
        ] {
            let error = Settings::of_url(url).unwrap_err().to_string();
            assert!(error.starts_with(expected) && !error.contains("s3cret"), "{url}: {error}");
        }
    }
}
