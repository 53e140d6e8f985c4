//! The section `[log]`: where the log is, and how much of it is kept.

use std::fmt;
use std::time::Duration;

use outbound::amqp::broker::Broker;
use outbound::amqp::stream::StreamSettings;
use outbound::dial::Dialer;
use outbound::guard::{Guard, Range};
use outbound::resolve::System;
use outbound::secret::Secret;

use super::Raw;
use crate::failure::Failure;

/// What names begin with that are made on a broker, unless the address says otherwise.
const PREFIX: &str = "bartizan";
/// How long such a beginning may be.
const PREFIX_CHARS_MAX: usize = 100;

/// Where the log is.
#[derive(Clone)]
pub(crate) enum LogPlace {
    /// In the data folder.
    Folder,
    /// In a stream of RabbitMQ, with a copy in the data folder.
    RabbitMq {
        /// The broker.
        broker: Box<Broker>,
        /// The stream.
        stream: StreamSettings,
    },
}

impl fmt::Debug for LogPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => out.write_str("Folder"),
            Self::RabbitMq { broker, stream } => write!(out, "RabbitMq({broker}, {})", stream.name),
        }
    }
}

impl Raw {
    /// Reads where the log is; `keep_bytes` and `keep_age` are what a stream keeps that has to be made.
    pub(super) fn log_place(&self, keep_bytes: u64, keep_age: Duration) -> Result<LogPlace, Failure> {
        let (url, origin) = self.text("log.url");
        let complain = |what: &str| Failure::usage(format!("`log.url` ({origin}) {what}"));
        if url.is_empty() {
            return Ok(LogPlace::Folder);
        }
        let (scheme, _) = url.split_once("://").unwrap_or_default();
        if scheme == "kafka" {
            return Err(complain(
                "names Kafka, which is not in this version: RabbitMQ is, as `amqp://USER:PASSWORD@HOST:5672/VHOST`",
            ));
        }
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let mut prefix = PREFIX;
        for (key, value) in
            query.split('&').filter(|it| !it.is_empty()).map(|it| it.split_once('=').unwrap_or((it, "")))
        {
            match key {
                "prefix" => prefix = value,
                _ => return Err(complain(&format!("has `{key}` behind the `?`, and only `prefix` is known there"))),
            }
        }
        let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
        if prefix.is_empty() || PREFIX_CHARS_MAX < prefix.len() || !prefix.chars().all(is_plain) {
            return Err(complain("has a `prefix` that must be 1 to 100 of letters, digits, `.`, `_` and `-`"));
        }
        let password = match self.optional_path("log.password_file") {
            None => None,
            Some(path) => {
                let found = Secret::find(&format!("file:{}", path.display()), &|_| None);
                Some(found.map_err(|it| Failure::usage(format!("`log.password_file` {it}")))?)
            }
        };
        // A broker is named by the operator and lies inside: whatever its address is, it is meant.
        let everywhere = ["0.0.0.0/0", "::/0"].into_iter().filter_map(Range::parse).collect();
        let dialer =
            Dialer::new(Guard::new(everywhere), std::sync::Arc::new(System), self.optional_path("outbound.ca"));
        let broker = Broker::parse(address, password.as_ref().map(Secret::expose), &dialer);
        let broker = Box::new(broker.map_err(|it| complain(&it))?);
        let name = format!("{prefix}.events.0");
        Ok(LogPlace::RabbitMq { broker, stream: StreamSettings { name, keep_bytes, keep_age } })
    }
}
