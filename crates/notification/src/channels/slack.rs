//! Slack, by an incoming webhook. What others offer in its place (Mattermost, Discord's `/slack`) reads the `text`.
//!
//! Source: Slack, "Sending messages using incoming webhooks", "Formatting text", "Block Kit" reference.

use std::sync::Arc;
use std::time::Duration;

use outbound::client::Client;
use outbound::target::Target;
use serde_json::{Value, json};

use super::{Built, Channel, Manner, Sending, Sent, post_json};
use crate::message::Message;
use crate::settings::Settings;
use crate::text::is_plain;

/// The longest `text`, in characters as sent; Slack cuts at 4,000.
const TEXT_CHARS_MAX: usize = 3000;
/// The longest header. Source: Block Kit, header block.
const HEADER_CHARS_MAX: usize = 150;
/// The longest field; Block Kit allows 2,000. Ten of them, header and sections stay below the 13,200 characters at
/// which Slack refuses a message as a whole.
const FIELD_CHARS_MAX: usize = 300;
/// The longest section; Block Kit allows 3,000.
const SECTION_CHARS_MAX: usize = 2000;
/// Slack takes about a message a second of one webhook.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that may be asked for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

struct Slack {
    target: Target,
    client: Arc<Client>,
    pause: Duration,
}

pub(super) fn build(settings: &Settings<'_>, client: &Arc<Client>) -> Built {
    let target =
        settings.target("the address of an incoming webhook, as https://hooks.slack.com/services/...", client)?;
    let pause = settings.duration("pause", PAUSE, PAUSE_MAX)?;
    Ok(Arc::new(Slack { target, client: client.clone(), pause }))
}

impl Channel for Slack {
    fn manner(&self) -> Manner {
        Manner { pause: self.pause, ..Manner::one_by_one(self.client.longest()) }
    }

    fn target(&self) -> String {
        self.target.to_string()
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let reply = post_json(&self.client, &self.target, &[], body_of(message).to_string()).await?;
            Ok(Sent(reply.status.to_string()))
        })
    }
}

fn body_of(message: &Message) -> Value {
    let alert = &message.alert;
    let word = if message.kind.is_over() { "CLOSED" } else { "ALERT" };
    let field = |name: &str, value: &str| plain(&format!("{name}: {value}"), FIELD_CHARS_MAX);
    let fields = json!([
        field("Severity", alert.severity.as_str()),
        field("Detector", &alert.detector),
        field("Source", &alert.source),
        field("Address", &message.about()),
        field("Events", &alert.count.to_string()),
        field("Rule", &alert.rule_id),
    ]);
    let title = if message.kind.is_over() { format!("Closed: {}", alert.title) } else { alert.title.clone() };
    json!({
        "text": text_of(message, word),
        // Nothing in it is a link, a mention or a format.
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": [
            {"type": "header", "text": plain(&title, HEADER_CHARS_MAX)},
            {"type": "section", "fields": fields},
            {"type": "section", "text": plain(&format!("{}\n{}", alert.reason, message.text()), SECTION_CHARS_MAX)},
            {"type": "context", "elements": [plain(&format!("bartizan why {}", alert.id), FIELD_CHARS_MAX)]},
        ],
    })
}

/// The text that system 001 sends.
fn text_of(message: &Message, word: &str) -> String {
    let alert = &message.alert;
    let head = format!("[{word}] {} via {}: {}", alert.severity, alert.detector, alert.reason);
    let rest = format!("source={} ip={} msg={}", alert.source, message.about(), message.text());
    let head = fit(&head, TEXT_CHARS_MAX / 2);
    let rest = fit(&rest, TEXT_CHARS_MAX - 1 - head.chars().count());
    format!("{head}\n{rest}")
}

fn plain(text: &str, chars_max: usize) -> Value {
    let lines: Vec<&str> = text.splitn(2, '\n').collect();
    let mut out = String::new();
    for line in lines {
        let break_before = usize::from(!out.is_empty());
        let room = chars_max.saturating_sub(out.chars().count() + break_before);
        if 0 < break_before && 0 < room {
            out.push('\n');
        }
        out.push_str(&fit(line, room));
    }
    // A text must not be empty.
    let out = if out.trim().is_empty() { "-".to_owned() } else { out };
    json!({"type": "plain_text", "emoji": false, "text": out})
}

/// Writes text as Slack is to show it: `&`, `<` and `>` escaped, nothing that mentions or links, one line, and at most
/// `chars_max` characters as sent.
fn fit(text: &str, chars_max: usize) -> String {
    let (mut out, mut length, mut before) = (String::new(), 0, ' ');
    let mut rest = text.chars().map(|it| if is_plain(it) { it } else { ' ' }).peekable();
    while let Some(it) = rest.next() {
        let next = rest.peek().copied().unwrap_or(' ');
        let piece = match it {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            // With a space without width behind it there is no name to mention and no address to link. The address of
            // a host, all digits, stays as it is.
            '@' => "@\u{200b}",
            ':' if next == '/' => ":\u{200b}",
            '.' if before.is_alphanumeric() && next.is_alphabetic() => ".\u{200b}",
            _ => "",
        };
        let longer = piece.chars().count().max(1);
        if chars_max < length + longer {
            break;
        }
        length += longer;
        if piece.is_empty() {
            out.push(it);
        } else {
            out.push_str(piece);
        }
        before = it;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::samples::{HOSTILE, alert, built, hostile_message, message};
    use crate::message::Kind;

    #[track_caller]
    fn check_limits(body: &Value) {
        let length = |it: &Value| it.as_str().expect("it is a text").chars().count();
        assert!(length(&body["text"]) <= TEXT_CHARS_MAX);
        let blocks = body["blocks"].as_array().expect("there are blocks");
        assert!(blocks.len() <= 50);
        assert!((1..=150).contains(&length(&blocks[0]["text"]["text"])));
        let fields = blocks[1]["fields"].as_array().expect("there are fields");
        assert!(fields.len() <= 10 && fields.iter().all(|it| (1..=2000).contains(&length(&it["text"]))));
        assert!((1..=3000).contains(&length(&blocks[2]["text"]["text"])));
        assert!(body.to_string().chars().count() < 13_200);
    }

    #[test]
    fn the_text_is_the_one_of_system_001() {
        let expected =
            "[ALERT] high via rule:bruteforce: 5 events within 60 s\nsource=web ip=203.0.113.7 msg=POST /login 401";
        assert_eq!(body_of(&message(Kind::Raised, alert()))["text"], expected);
    }

    #[test]
    fn nothing_mentions_links_or_formats() {
        for hostile in HOSTILE {
            let body = body_of(&hostile_message(hostile));
            check_limits(&body);
            let text = body.to_string();
            assert!(!text.contains('<') && !text.contains('>'), "{text}");
            assert!(!text.contains("@channel") && !text.contains("@here") && !text.contains("@everyone"), "{text}");
            assert!(!text.contains("://") && !text.contains("www.e") && !text.contains("a@e"), "{text}");
            assert!(!text.contains("mrkdwn\":true") && !text.contains("\"type\":\"mrkdwn\""), "{text}");
        }
    }

    #[test]
    fn a_name_of_a_host_is_no_link_and_an_address_stays_as_it_is() {
        let cases = [
            ("evil.example", "evil.|example"),
            ("evil2.example.org", "evil2.|example.|org"),
            ("203.0.113.7", "203.0.113.7"),
            ("it. Then", "it. Then"),
            ("2.5 s", "2.5 s"),
            ("a@b https://c", "a@|b https:|//c"),
        ];
        for (text, expected) in cases {
            assert_eq!(fit(text, 100), expected.replace('|', "\u{200b}"));
        }
    }

    #[test]
    fn the_longest_is_whole_and_one_more_is_cut() {
        assert_eq!(fit(&"x".repeat(150), 150).len(), 150);
        assert_eq!(fit(&"x".repeat(151), 150).len(), 150);
        // What is escaped is whole or not there.
        assert_eq!((fit("&&", 9), fit("&&", 10)), ("&amp;".to_owned(), "&amp;&amp;".to_owned()));
        for text in ["&".repeat(5000), "😀".repeat(5000), "<".repeat(5000), "@".repeat(5000), String::new()] {
            check_limits(&body_of(&hostile_message(&text)));
        }
    }

    #[test]
    fn its_address_is_needed_and_not_shown() {
        let channel = built("slack", &[("url", "https://hooks.slack.com/services/T/B/secret")]).unwrap();
        assert_eq!(channel.target(), "https://hooks.slack.com/...");
        assert_eq!((channel.manner().pause, channel.manner().parallel), (PAUSE, 1));
        assert!(built("slack", &[]).is_err());
    }
}
