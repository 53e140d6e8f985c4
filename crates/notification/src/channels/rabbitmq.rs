//! An exchange of RabbitMQ: each message confirmed by the broker, with an id that stays the same.

use std::sync::Arc;
use std::time::Duration;

use outbound::amqp::publisher::{Publication, PublishError, Publisher};
use outbound::client::Client;

use super::{Built, Channel, Failure, Manner, Sending, Sent};
use crate::message::Message;
use crate::settings::Settings;
use crate::{broker, form, ocsf};

/// How many messages are on their way at once. Readers leave out a `message_id` that they have.
const PARALLEL: usize = 8;
/// How many are taken at once.
const BATCH: usize = 128;
/// How long a message may take, with the connection.
const TIMEOUT: Duration = Duration::from_secs(30);

struct RabbitMq {
    publisher: Publisher,
    /// The routing key; `None`: the type of the alert.
    key: Option<String>,
    is_ocsf: bool,
}

pub(super) fn build(settings: &Settings<'_>, client: &Arc<Client>) -> Built {
    let is_mandatory = settings.flag("mandatory", true)?;
    let publisher = broker::publisher(settings, client.dialer(), is_mandatory)?;
    settings.check_host("url", publisher.broker().host(), client)?;
    let key = settings.text("key").map(|it| broker::short(settings, "key", it)).transpose()?;
    let is_ocsf = settings.one_of("format", &[("json", false), ("ocsf", true)])?;
    Ok(Arc::new(RabbitMq { publisher, key: key.map(str::to_owned), is_ocsf }))
}

impl RabbitMq {
    /// The key of a message: as set, else the type of its alert, as far as the protocol has room for it.
    fn key_of<'a>(&'a self, message: &'a Message) -> &'a str {
        let key = self.key.as_deref().unwrap_or(&message.alert.kind);
        &key[..key.floor_char_boundary(outbound::amqp::NAME_BYTES_MAX)]
    }
}

impl Channel for RabbitMq {
    fn manner(&self) -> Manner {
        Manner { parallel: PARALLEL, batch: BATCH, ..Manner::one_by_one(TIMEOUT) }
    }

    fn target(&self) -> String {
        self.publisher.target()
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let body = if self.is_ocsf { ocsf::finding(message) } else { form::message(message) }.to_string();
            let (id, kind) = (message.id.to_string(), form::kind(message.kind));
            let seconds = message.created_at.nanos().div_euclid(1_000_000_000);
            let publication = Publication {
                key: self.key_of(message),
                message_id: &id,
                kind: &kind,
                timestamp_s: u64::try_from(seconds).unwrap_or_default(),
                body: body.as_bytes(),
            };
            match self.publisher.publish(&publication).await {
                Ok(()) => Ok(Sent("confirmed".to_owned())),
                Err(error @ PublishError::Amqp(_)) => Err(Failure::passing(error.to_string())),
                // Queues are made, bound and emptied while we run; those of other keys take their messages meanwhile.
                Err(error @ (PublishError::Returned(_) | PublishError::Refused)) => {
                    Err(Failure::of_this_one(error.to_string()))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::channels::samples::built;

    const URL: (&str, &str) = ("url", "amqp://a:hidden@203.0.113.7/v");

    #[track_caller]
    fn refused(values: &[(&str, &str)], expected: &str) {
        let error = built("rabbitmq", values).err().expect("it is wrong").to_string();
        assert!(error.starts_with(expected) && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn settings_are_checked() {
        let local = ("url", "amqp://a:hidden@127.0.0.1:5/v");
        let channel = built("rabbitmq", &[local, ("exchange", "x"), ("key", "k")]).unwrap();
        assert_eq!(channel.target(), "amqp://127.0.0.1:5/v exchange x");
        refused(&[local], "`notify.test.exchange` is missing");
        refused(&[("exchange", "x")], "`notify.test.url` is missing; it must be an address as `amqp://");
        refused(&[("url", "amqp://h"), ("exchange", "x")], "`notify.test.url` must be an address as");
        refused(&[URL, ("exchange", "x")], "`notify.test.url` leads to `203.0.113.7`, which is no public address");
        refused(&[local, ("exchange", &"x".repeat(256))], "`notify.test.exchange` is over 255 bytes");
        refused(&[local, ("exchange", "x"), ("exchange_kind", "headers")], "`notify.test.exchange_kind` is `headers`");
        refused(&[local, ("exchange", "x"), ("mandatory", "no")], "`notify.test.mandatory` is `no`");
    }
}
