//! PagerDuty, Events API v2: an alert triggers, closing it resolves. Source: PagerDuty, "PD-CEF" and "Send an event".

use std::sync::Arc;

use model::severity::Severity;
use outbound::client::Client;
use outbound::target::Target;
use serde_json::{Map, Value, json};

use super::{Built, Channel, Manner, Sending, Sent, post_json};
use crate::message::Message;
use crate::settings::Settings;
use crate::text::line;
use outbound::secret::Secret;

const URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// How long an integration key is.
const KEY_CHARS: usize = 32;
/// The longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 1024;
/// The longest of the details, in characters, and how many matched fields are shown: with them an event stays far
/// below the 512 KB that are taken.
const DETAIL_CHARS_MAX: usize = 2000;
const MATCHED_MAX: usize = 20;

struct PagerDuty {
    target: Target,
    client: Arc<Client>,
    key: Secret,
}

pub(super) fn build(settings: &Settings<'_>, client: &Arc<Client>) -> Built {
    let key = settings.required_secret("routing_key", "the integration key of a service")?;
    if key.expose().len() != KEY_CHARS || !key.expose().bytes().all(|it| it.is_ascii_alphanumeric()) {
        return Err(settings.wrong("routing_key", "must have 32 letters and digits"));
    }
    let target = match settings.text("url") {
        Some(_) => settings.target("the address of the Events API", client)?,
        None => Target::parse(URL).map_err(|it| settings.wrong("url", it))?,
    };
    Ok(Arc::new(PagerDuty { target, client: client.clone(), key }))
}

impl Channel for PagerDuty {
    fn manner(&self) -> Manner {
        Manner::one_by_one(self.client.longest())
    }

    fn target(&self) -> String {
        self.target.to_string()
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let body = body_of(message, self.key.expose()).to_string();
            let reply = post_json(&self.client, &self.target, &[], body).await?;
            Ok(Sent(reply.status.to_string()))
        })
    }
}

fn body_of(message: &Message, key: &str) -> Value {
    let alert = &message.alert;
    let dedup_key = alert.id.to_string();
    if message.kind.is_over() {
        return json!({"routing_key": key, "event_action": "resolve", "dedup_key": dedup_key});
    }
    let detail = |it: &str| line(it, DETAIL_CHARS_MAX);
    let matched: Map<String, Value> =
        alert.matched.iter().take(MATCHED_MAX).map(|(field, value)| (line(field, 200), detail(value).into())).collect();
    json!({
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "Bartizan",
        "payload": {
            "summary": line(&format!("{}: {} from {}", alert.severity, alert.title, message.about()), SUMMARY_CHARS_MAX),
            "source": line(&message.about(), 255),
            "severity": severity(alert.severity),
            "timestamp": alert.timestamp.to_string(),
            "component": line(&alert.source, 255),
            "group": line(&alert.rule_id, 255),
            "class": line(&alert.kind, 255),
            "custom_details": {
                "reason": detail(&alert.reason),
                "details": detail(&alert.details),
                "message": detail(&message.text()),
                "detector": detail(&alert.detector),
                "count": alert.count,
                "confidence": alert.confidence,
                "user": alert.user.as_deref().map(detail),
                "matched": matched,
                "first_seen": alert.first_seen.to_string(),
                "last_seen": alert.last_seen.to_string(),
            },
        },
    })
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Informational => "info",
    }
}

#[cfg(test)]
mod tests {
    use model::alert::Alert;

    use super::*;
    use crate::channels::samples::{HOSTILE, alert, built, hostile_message, message};
    use crate::message::Kind;

    #[test]
    fn an_alert_triggers_and_closing_it_resolves_the_same() {
        let trigger = body_of(&message(Kind::Raised, alert()), "k");
        assert_eq!((&trigger["event_action"], &trigger["payload"]["severity"]), (&"trigger".into(), &"error".into()));
        assert_eq!(trigger["payload"]["summary"], "high: Brute force attack from 203.0.113.7");
        let resolve = body_of(&message(Kind::Closed, alert()), "k");
        let expected = json!({"routing_key": "k", "event_action": "resolve", "dedup_key": alert().id.to_string()});
        assert_eq!(resolve, expected);
        assert_eq!(resolve["dedup_key"], trigger["dedup_key"]);
    }

    #[test]
    fn nothing_is_longer_than_is_taken() {
        let long = "😀".repeat(5000);
        let matched = vec![("f".repeat(9999), long.clone()); 99];
        let body = body_of(&message(Kind::Raised, Alert { matched, ..hostile_message(&long).alert }), "k");
        assert_eq!(body["payload"]["summary"].as_str().map(|it| it.chars().count()), Some(SUMMARY_CHARS_MAX));
        assert!(body.to_string().len() < 512_000);
        assert!(body["dedup_key"].as_str().is_some_and(|it| it.len() <= 255));
        for length in [SUMMARY_CHARS_MAX, SUMMARY_CHARS_MAX + 1] {
            let title = "x".repeat(length - "high:  from 203.0.113.7".len());
            let body = body_of(&message(Kind::Raised, Alert { title, ..alert() }), "k");
            let summary = body["payload"]["summary"].as_str().expect("there is one");
            assert_eq!(
                (summary.chars().count(), summary.ends_with('…')),
                (SUMMARY_CHARS_MAX, length != SUMMARY_CHARS_MAX)
            );
        }
    }

    #[test]
    fn what_is_hostile_stays_a_value_of_one_line() {
        for hostile in HOSTILE {
            let body = body_of(&hostile_message(hostile), "k");
            assert!(body["payload"]["summary"].as_str().is_some_and(|it| it.chars().all(crate::text::is_plain)));
        }
    }

    #[test]
    fn the_key_is_checked_and_not_told() {
        assert!(built("pagerduty", &[("routing_key", &"k".repeat(32))]).is_ok());
        for key in ["k".repeat(31), "k".repeat(33), format!("{}\n", "k".repeat(31))] {
            let error = built("pagerduty", &[("routing_key", &key)]).err().expect("it is wrong");
            assert_eq!(error.to_string(), "`notify.test.routing_key` must have 32 letters and digits");
        }
    }
}
