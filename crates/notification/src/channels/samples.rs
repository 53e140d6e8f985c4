//! What the tests of the channels send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backends::store::outbox::MessageId;
use model::alert::{Alert, AlertStatus};
use model::entity::Entity;
use model::id::AlertId;
use model::severity::Severity;
use model::time::Timestamp;
use outbound::client::{Client, Times};
use outbound::dial::Dialer;
use outbound::guard::{Guard, Range};
use outbound::resolve::System;

use super::{Built, CHANNELS};
use crate::message::{Kind, Message};
use crate::settings::{Settings, Surroundings};

/// Texts that are syntax somewhere; here they are data.
pub(crate) const HOSTILE: &[&str] = &[
    "<!channel> <!here> <!everyone> <@U012AB3CD> <#C012AB3CD> <!subteam^S012AB3CD>",
    "@channel @here @everyone",
    "<https://evil.example|your bank> https://evil.example www.evil.example mailto:a@evil.example",
    "[your bank](https://evil.example) ![x](https://evil.example/x.png) *bold* _it_ `code`",
    "x\r\nBcc: victim@example.org\r\n\r\nbody",
    "x\nSubject: other",
    "x\r\n.\r\nMAIL FROM:<evil@example.org>\r\n",
    ".\n..\n.leading",
    "=cmd|' /C calc'!A0",
    "+1+1 -1-1 @SUM(A1) \t=1",
    "\x1b[2J\x1b]0;title\x07\x1b[31m",
    "\u{202e}gnp.exe\u{2066}\u{200b}",
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"}]}{\"a\":\"{{title}} ${HOME} {{=1+1}} %s%n",
    "\0\u{1}\u{7f}\u{85}\u{2028}\u{2029}",
    "日本語 ünï 😀 e\u{301}",
];

/// An alert.
pub(crate) fn alert() -> Alert {
    let address = "203.0.113.7".parse().expect("it is an address");
    let time = |seconds: i64| Timestamp::from_seconds(1_699_999_900 + seconds).expect("it is a time");
    Alert {
        id: AlertId(7),
        rule_id: "bruteforce".into(),
        rule_version: "v1".into(),
        title: "Brute force attack".into(),
        kind: "bruteforce".into(),
        severity: Severity::High,
        confidence: 80,
        status: AlertStatus::New,
        entity: Entity::of_ip(address),
        client_ip: Some(address),
        dst_ip: None,
        count: 5,
        first_seen: time(0),
        last_seen: time(50),
        window_start: time(0),
        timestamp: time(40),
        details: "5 failed logins within 60 s".into(),
        reason: "5 events within 60 s".into(),
        description: "Somebody guesses passwords".into(),
        detector: "rule:bruteforce".into(),
        source: "web".into(),
        country: None,
        user: Some("root".into()),
        matched: vec![("status_code".into(), "401".into())],
        evidence: vec![],
        event: r#"{"message":"POST /login 401"}"#.into(),
        synthetic: false,
        incarnation: 0,
    }
}

/// A message.
pub(crate) fn message(kind: Kind, alert: Alert) -> Message {
    let now = Timestamp::from_seconds(1_700_000_000).expect("it is a time");
    Message { id: MessageId(0xabc), kind, alert, created_at: now, now }
}

/// A message all of whose texts are hostile.
pub(crate) fn hostile_message(text: &str) -> Message {
    let event = serde_json::json!({"message": text}).to_string();
    let all = || text.to_owned();
    message(
        Kind::Raised,
        Alert {
            rule_id: all(),
            title: all(),
            kind: all(),
            details: all(),
            reason: all(),
            description: all(),
            detector: all(),
            source: all(),
            user: Some(all()),
            matched: vec![(all(), all())],
            event,
            entity: Entity { kind: model::entity::EntityKind::User, value: all() },
            client_ip: None,
            ..alert()
        },
    )
}

/// A client that may reach this host.
pub(crate) fn client() -> Arc<Client> {
    let guard = Guard::new(vec![Range::parse("127.0.0.0/8").expect("it is one")]);
    let times = Times { connect: Duration::from_secs(2), answer: Duration::from_secs(2) };
    Client::new(Dialer::new(guard, Arc::new(System), None), times)
}

/// Makes a channel of `kind` with these settings.
pub(crate) fn built(kind: &str, values: &[(&str, &str)]) -> Built {
    let values: BTreeMap<String, String> = values.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let duration = |it: &str| it.strip_suffix("ms")?.parse().ok().map(Duration::from_millis);
    let around = Surroundings { variable: &|_| None, duration: &duration };
    let kind = CHANNELS.iter().find(|it| it.name == kind).expect("there is such a kind");
    let settings = Settings::new("test", &values, &around)?;
    let channel = kind.build(&settings, &client())?;
    settings.end()?;
    Ok(channel)
}
