//! A webhook of any receiver: JSON, signed by the Standard Webhooks specification.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use outbound::client::Client;
use outbound::target::Target;

use super::{Built, Channel, Failure, Manner, Sending, Sent, header, post_json};
use crate::message::Message;
use crate::settings::Settings;
use crate::signature::{self, Key};
use crate::template::Template;
use crate::{form, ocsf};

/// How many keys sign at once: the present one and, while they are changed, the next.
const KEYS_MAX: usize = 2;
/// How many messages are on their way at once. The receiver leaves out a `webhook-id` that it has.
const PARALLEL: usize = 8;
/// How many are taken at once.
const BATCH: usize = 512;
/// How many share one write of what has arrived.
const UNMARKED: usize = 64;
/// The longest pause that may be asked for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

enum Body {
    Json,
    Ocsf,
    Template(Template),
}

struct Webhook {
    target: Target,
    client: Arc<Client>,
    keys: Vec<Key>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
    pause: Duration,
}

pub(super) fn build(settings: &Settings<'_>, client: &Arc<Client>) -> Built {
    let target = settings.target("the address of the receiver", client)?;
    let secrets = settings.secrets("secret")?;
    if KEYS_MAX < secrets.len() {
        return Err(settings.wrong("secret", "has more than 2 keys: the present one and the next are enough"));
    }
    let keys: Result<Vec<Key>, _> = secrets.iter().map(|it| Key::parse(it.expose())).collect();
    let keys = keys.map_err(|it| settings.wrong("secret", it))?;
    let headers = settings.authorization()?;
    let is_ocsf = settings.one_of("format", &[("json", false), ("ocsf", true)])?;
    let template = settings.text("template").map(Template::parse).transpose();
    let body = match template.map_err(|it| settings.wrong("template", it))? {
        Some(_) if is_ocsf => return Err(settings.wrong("template", "and `format = \"ocsf\"` exclude one another")),
        Some(template) => Body::Template(template),
        None if is_ocsf => Body::Ocsf,
        None => Body::Json,
    };
    let pause = settings.duration("pause", Duration::ZERO, PAUSE_MAX)?;
    Ok(Arc::new(Webhook { target, client: client.clone(), keys, headers, body, pause }))
}

impl Webhook {
    fn body_of(&self, message: &Message) -> String {
        match &self.body {
            Body::Json => form::message(message).to_string(),
            Body::Ocsf => ocsf::finding(message).to_string(),
            Body::Template(template) => template.render(message),
        }
    }

    /// The headers of a message: its id, the time of this attempt, and the signatures.
    fn headers_of(&self, message: &Message, body: &str) -> Vec<(HeaderName, HeaderValue)> {
        let id = format!("msg_{}", message.id);
        let seconds = message.now.nanos().div_euclid(1_000_000_000);
        let mut headers = self.headers.clone();
        headers.extend(header("webhook-id", &id));
        headers.extend(header("webhook-timestamp", &seconds.to_string()));
        if !self.keys.is_empty() {
            let signature = signature::sign(&self.keys, &id, seconds, body.as_bytes());
            headers.extend(header("webhook-signature", &signature));
        }
        headers
    }
}

impl Channel for Webhook {
    fn manner(&self) -> Manner {
        let (parallel, batch, unmarked) = if self.pause.is_zero() { (PARALLEL, BATCH, UNMARKED) } else { (1, 1, 1) };
        Manner { parallel, batch, unmarked, pause: self.pause, ..Manner::one_by_one(self.client.longest()) }
    }

    fn target(&self) -> String {
        self.target.to_string()
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let body = self.body_of(message);
            let headers = self.headers_of(message, &body);
            let reply = post_json(&self.client, &self.target, &headers, body).await;
            reply.map(|it| Sent(it.status.to_string())).map_err(|it: Failure| it)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::channels::samples::{HOSTILE, alert, built, client, hostile_message, message};
    use crate::message::Kind;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn webhook(keys: Vec<Key>) -> Webhook {
        Webhook {
            target: Target::parse("https://hooks.example/x").expect("it is one"),
            client: client(),
            keys,
            headers: vec![],
            body: Body::Json,
            pause: Duration::ZERO,
        }
    }

    #[track_caller]
    fn refused(values: &[(&str, &str)], expected: &str) {
        let values = [&[("url", "https://hooks.example/x")], values].concat();
        let error = built("webhook", &values).err().expect("it is wrong").to_string();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn every_attempt_has_the_same_id_and_a_time_of_its_own() {
        let webhook = webhook(vec![Key::parse(SECRET).expect("it is a key")]);
        let first = message(Kind::Raised, alert());
        let again = Message { now: first.now.plus(Duration::from_secs(60)), ..first.clone() };
        assert_eq!(webhook.body_of(&first), webhook.body_of(&again));
        let value = |of: &Message, name: &str| {
            let headers = webhook.headers_of(of, "{}");
            headers.iter().find(|it| it.0 == name).map(|it| it.1.to_str().expect("it is ASCII").to_owned())
        };
        assert_eq!(value(&first, "webhook-id").as_deref(), Some("msg_00000000000000000000000000000abc"));
        assert_eq!(value(&first, "webhook-id"), value(&again, "webhook-id"));
        assert_eq!(value(&first, "webhook-timestamp").as_deref(), Some("1700000000"));
        assert_eq!(value(&again, "webhook-timestamp").as_deref(), Some("1700000060"));
        assert_ne!(value(&first, "webhook-signature"), value(&again, "webhook-signature"));
    }

    #[test]
    fn what_is_hostile_stays_a_value() {
        for hostile in HOSTILE {
            let body: Value =
                serde_json::from_str(&webhook(vec![]).body_of(&hostile_message(hostile))).expect("it is JSON");
            assert_eq!(body["data"]["title"], *hostile);
            assert_eq!(body.as_object().map(serde_json::Map::len), Some(4));
        }
    }

    #[test]
    fn settings_are_checked() {
        built("webhook", &[("url", "https://hooks.example/x"), ("secret", &format!("{SECRET}\n{OTHER}"))]).unwrap();
        refused(&[("secret", "short")], "`notify.test.secret` must be `whsec_`");
        refused(&[("secret", &format!("{SECRET}\n{OTHER}\n{SECRET}"))], "`notify.test.secret` has more than 2 keys");
        refused(&[("authorization", "a\r\nX: y")], "`notify.test.authorization` must be the value of a header");
        refused(&[("template", "{{x}}")], "`notify.test.template` names the value `x`");
        refused(&[("template", "{}"), ("format", "ocsf")], "`notify.test.template` and `format");
        refused(&[("format", "xml")], "`notify.test.format` is `xml`, and must be one of `json`, `ocsf`");
        refused(&[("retries", "3")], "`notify.test.retries` is not known here");
    }
}
