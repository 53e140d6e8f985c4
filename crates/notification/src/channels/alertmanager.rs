//! Prometheus Alertmanager: it forgets what it is not told again, so an alert is sent again until it is closed.
//!
//! Source: Alertmanager, "Alerts API", `POST /api/v2/alerts`.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use outbound::client::Client;
use outbound::target::Target;
use serde_json::{Value, json};

use super::{Built, Channel, Manner, Sending, Sent, post_json};
use crate::message::Message;
use crate::settings::Settings;
use crate::text::line;

/// How often an alert is sent again.
const EVERY: Duration = Duration::from_secs(60);
/// How often at most and at least it may be asked for.
const EVERY_MAX: Duration = Duration::from_secs(3600);
/// For how many intervals an alert stands without being sent again: so many may fail.
const INTERVALS: u32 = 4;
/// The longest value of a label and of an annotation, in characters.
const LABEL_CHARS_MAX: usize = 200;
const ANNOTATION_CHARS_MAX: usize = 2000;
/// How many are taken at once: what is sent again is the same alert.
const BATCH: usize = 100;

struct Alertmanager {
    target: Target,
    client: Arc<Client>,
    headers: Vec<(HeaderName, HeaderValue)>,
    every: Duration,
}

pub(super) fn build(settings: &Settings<'_>, client: &Arc<Client>) -> Built {
    let mut target = settings.target("the address of an Alertmanager, as http://alertmanager:9093", client)?;
    if target.path.contains('?') {
        return Err(settings.wrong("url", "must have no query"));
    }
    target.path = format!("{}/api/v2/alerts", target.path.trim_end_matches('/'));
    let every = settings.duration("every", EVERY, EVERY_MAX)?;
    if every.is_zero() {
        return Err(settings.wrong("every", "must be above zero"));
    }
    let headers = settings.authorization()?;
    Ok(Arc::new(Alertmanager { target, client: client.clone(), headers, every }))
}

impl Channel for Alertmanager {
    fn manner(&self) -> Manner {
        Manner { reminder: Some(self.every), batch: BATCH, ..Manner::one_by_one(self.client.longest()) }
    }

    fn target(&self) -> String {
        self.target.to_string()
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let body = json!([body_of(message, self.every)]).to_string();
            let reply = post_json(&self.client, &self.target, &self.headers, body).await?;
            Ok(Sent(reply.status.to_string()))
        })
    }
}

/// The alert. Its labels are its identity, so they are the same every time.
fn body_of(message: &Message, every: Duration) -> Value {
    let alert = &message.alert;
    let ends = if message.kind.is_over() { message.now } else { message.now.plus(every * INTERVALS) };
    let label = |it: &str| line(it, LABEL_CHARS_MAX);
    let annotation = |it: &str| line(it, ANNOTATION_CHARS_MAX);
    json!({
        "labels": {
            "alertname": label(&alert.rule_id),
            "alert_id": alert.id.to_string(),
            "severity": alert.severity.as_str(),
            "type": label(&alert.kind),
            "entity_kind": alert.entity.kind.as_str(),
            "entity": label(&alert.entity.value),
            "source": label(&alert.source),
        },
        "annotations": {
            "summary": annotation(&format!("{} from {}", alert.title, message.about())),
            "description": annotation(&alert.reason),
            "message": annotation(&message.text()),
            "detector": annotation(&alert.detector),
        },
        "startsAt": alert.first_seen.min(message.now).to_string(),
        "endsAt": ends.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::samples::{HOSTILE, alert, built, hostile_message, message};
    use crate::message::Kind;

    #[test]
    fn an_alert_stands_for_some_intervals_and_ends_when_it_is_closed() {
        let body = |kind| body_of(&message(kind, alert()), EVERY);
        assert_eq!(
            (&body(Kind::Raised)["startsAt"], &body(Kind::Raised)["endsAt"]),
            (&"2023-11-14T22:11:40Z".into(), &"2023-11-14T22:17:20Z".into())
        );
        assert_eq!(body(Kind::Closed)["endsAt"], "2023-11-14T22:13:20Z");
        assert_eq!(body(Kind::Closed)["labels"], body(Kind::Raised)["labels"]);
    }

    #[test]
    fn labels_are_short_lines() {
        for hostile in HOSTILE.iter().map(|it| (*it).to_owned()).chain(["x".repeat(9999)]) {
            let body = body_of(&hostile_message(&hostile), EVERY);
            let labels = body["labels"].as_object().expect("there are labels");
            for value in labels.values().map(|it| it.as_str().expect("labels are texts")) {
                assert!(value.chars().all(crate::text::is_plain) && value.chars().count() <= LABEL_CHARS_MAX);
            }
        }
    }

    #[test]
    fn the_path_of_the_api_is_added() {
        for (url, every, is_good) in [
            ("http://am:9093", "1ms", true),
            ("http://am:9093/base/", "1ms", true),
            ("http://am:9093/?x", "1ms", false),
            ("http://am:9093", "0ms", false),
        ] {
            assert_eq!(built("alertmanager", &[("url", url), ("every", every)]).is_ok(), is_good, "{url}");
        }
        assert!(built("alertmanager", &[("url", "http://am")]).is_ok_and(|it| it.manner().reminder == Some(EVERY)));
    }
}
