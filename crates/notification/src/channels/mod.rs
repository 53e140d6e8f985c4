//! The channels: how a message gets to each kind of destination. One file each, and one line in [`CHANNELS`].

mod alertmanager;
mod email;
mod file;
mod pagerduty;
mod rabbitmq;
#[cfg(test)]
pub(crate) mod samples;
mod slack;
mod smtp;
mod stdout;
mod webhook;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use outbound::client::{Client, Reply, SendError};
use outbound::target::Target;

use crate::message::Message;
use crate::settings::{SettingError, Settings};

/// A channel, or the setting that keeps it from being made.
pub type Built = Result<Arc<dyn Channel>, SettingError>;

/// A kind of channel.
pub struct ChannelKind {
    /// Its name: `type` in the configuration.
    pub name: &'static str,
    /// Whether it is told by default that an alert was closed.
    pub tells_closed: bool,
    /// Makes a channel of its settings.
    build: fn(&Settings<'_>, &Arc<Client>) -> Built,
}

/// Every kind there is.
pub const CHANNELS: &[ChannelKind] = &[
    ChannelKind { name: "stdout", tells_closed: false, build: stdout::build },
    ChannelKind { name: "file", tells_closed: true, build: file::build },
    ChannelKind { name: "slack", tells_closed: false, build: slack::build },
    ChannelKind { name: "webhook", tells_closed: true, build: webhook::build },
    ChannelKind { name: "pagerduty", tells_closed: true, build: pagerduty::build },
    ChannelKind { name: "alertmanager", tells_closed: true, build: alertmanager::build },
    ChannelKind { name: "email", tells_closed: false, build: email::build },
    ChannelKind { name: "rabbitmq", tells_closed: true, build: rabbitmq::build },
];

impl ChannelKind {
    /// Makes a channel.
    ///
    /// # Errors
    ///
    /// A setting that cannot be used.
    pub fn build(&self, settings: &Settings<'_>, client: &Arc<Client>) -> Built {
        (self.build)(settings, client)
    }
}

/// How a channel wants to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// How many messages are on their way at once. Above 1 only where the receiver leaves out an id that it has.
    pub parallel: usize,
    /// How many messages are taken at once.
    pub batch: usize,
    /// How many may have arrived and not be marked yet: marking is a write to disk, which so many share. At least
    /// `parallel`; so many may arrive twice after a crash, with the same ids.
    pub unmarked: usize,
    /// How long to wait between two messages.
    pub pause: Duration,
    /// How long a message may take.
    pub timeout: Duration,
    /// After how long a message that has arrived is sent again until the alert is closed; `None`: never.
    pub reminder: Option<Duration>,
}

impl Manner {
    /// One message at a time, as fast as they are taken.
    #[must_use]
    pub const fn one_by_one(timeout: Duration) -> Self {
        Self { parallel: 1, batch: 1, unmarked: 1, pause: Duration::ZERO, timeout, reminder: None }
    }
}

/// What the other side said when it took a message: a status, no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent(pub String);

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// In words, without secrets and without what the other side wrote.
    pub reason: String,
    /// Whether it would be the same the next time.
    pub is_permanent: bool,
    /// Whether it says nothing of the destination: it answers, and may take other messages.
    pub is_own: bool,
    /// How long the other side asks us to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that may pass.
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_permanent: false, is_own: false, retry_after: None }
    }

    /// A failure of one message that may pass, while others arrive.
    pub(crate) fn of_this_one(reason: impl Into<String>) -> Self {
        Self { is_own: true, ..Self::passing(reason) }
    }

    /// A failure that stays.
    pub(crate) fn permanent(reason: impl Into<String>) -> Self {
        Self { is_permanent: true, ..Self::of_this_one(reason) }
    }

    /// Whether the destination as a whole seems to take nothing.
    pub(crate) const fn is_of_destination(&self) -> bool {
        !self.is_permanent && !self.is_own
    }
}

/// What comes of sending.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Sent, Failure>> + Send + 'a>>;

/// Sends messages to one destination.
pub trait Channel: Send + Sync + 'static {
    /// How it wants to be served.
    fn manner(&self) -> Manner;

    /// Where messages go, without secrets.
    fn target(&self) -> String;

    /// Sends a message, once.
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a>;
}

/// A header; a value that no header can have is a mistake in the settings, found when they are read.
pub(crate) fn header(name: &'static str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
}

/// Sends JSON and says what became of it.
pub(crate) async fn post_json(
    client: &Client,
    target: &Target,
    headers: &[(HeaderName, HeaderValue)],
    body: String,
) -> Result<Reply, Failure> {
    let mut headers = headers.to_vec();
    headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    judge(client.post(target, &headers, Bytes::from(body)).await)
}

/// Tells what arrived from what did not, and what may arrive later from what will not.
fn judge(sent: Result<Reply, SendError>) -> Result<Reply, Failure> {
    let reply = match sent {
        Ok(reply) => reply,
        Err(SendError::Dial(error)) if error.is_permanent() => return Err(Failure::permanent(error.to_string())),
        Err(error @ SendError::Request(_)) => return Err(Failure::permanent(error.to_string())),
        Err(error) => return Err(Failure::passing(error.to_string())),
    };
    let status = reply.status;
    let named = hyper::StatusCode::from_u16(status).ok().and_then(|it| it.canonical_reason()).unwrap_or("");
    let said = format!("it answered {status} {named}");
    match status {
        200..=299 => Ok(reply),
        300..=399 => Err(Failure::permanent(format!("{}; redirects are not followed", said.trim_end()))),
        408 | 425 | 429 | 500.. => {
            Err(Failure { retry_after: reply.retry_after, ..Failure::passing(said.trim_end().to_owned()) })
        }
        _ => Err(Failure::permanent(said.trim_end().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16) -> Result<Reply, SendError> {
        let retry_after = Some(Duration::from_secs(7));
        Ok(Reply { status, retry_after, body: Bytes::from_static(b"secret"), is_cut: false })
    }

    #[test]
    fn a_status_says_what_to_do() {
        for status in [200, 201, 202, 204] {
            assert!(judge(reply(status)).is_ok(), "{status}");
        }
        for (status, is_permanent) in [
            (301, true),
            (302, true),
            (400, true),
            (401, true),
            (403, true),
            (404, true),
            (408, false),
            (410, true),
            (413, true),
            (425, false),
            (429, false),
            (500, false),
            (502, false),
            (503, false),
            (599, false),
        ] {
            let failure = judge(reply(status)).expect_err("it did not arrive");
            assert_eq!(failure.is_permanent, is_permanent, "{status}");
            assert_eq!(failure.retry_after.is_some(), !is_permanent, "{status}");
            assert!(!failure.reason.contains("secret"), "{failure}");
        }
        assert_eq!(judge(reply(404)).expect_err("it did not arrive").reason, "it answered 404 Not Found");
        assert_eq!(
            judge(reply(302)).expect_err("it did not arrive").reason,
            "it answered 302 Found; redirects are not followed"
        );
    }

    #[test]
    fn only_a_failure_of_the_destination_is_held_against_it() {
        for (failure, expected) in
            [(Failure::passing("r"), true), (Failure::of_this_one("r"), false), (Failure::permanent("r"), false)]
        {
            assert_eq!(failure.is_of_destination(), expected, "{failure:?}");
        }
        assert!(!Failure::of_this_one("r").is_permanent);
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = CHANNELS.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), CHANNELS.len());
    }
}
