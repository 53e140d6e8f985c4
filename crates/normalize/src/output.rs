//! Events back to JSON: the form of `GET /v1/events/{id}`, and the short form in `GET /alerts`.

pub mod anormal;

use std::fmt::Display;

use model::event::{EventView, Original, TextField};
use model::json::push_text;
use model::limits::{ALERT_EVENT_BYTES_MAX, ALERT_VALUE_BYTES_MAX, shortened};

/// How many characters of an original stand for the message of an event that has none.
const MESSAGE_CHARS_MAX: usize = 2000;
/// How much of a message the short form shows, in bytes of JSON: with its other members it stays within
/// [`ALERT_EVENT_BYTES_MAX`].
const MESSAGE_BYTES_MAX: usize = ALERT_EVENT_BYTES_MAX - 4 * ALERT_VALUE_BYTES_MAX;

/// The text fields of `GET /v1/events/{id}` between the log source and the receipt.
const TEXTS: [(&str, TextField); 11] = [
    ("user", TextField::User),
    ("host", TextField::Host),
    ("method", TextField::Method),
    ("path", TextField::Path),
    ("user_agent", TextField::UserAgent),
    ("message", TextField::Message),
    ("referer", TextField::Referer),
    ("protocol", TextField::Protocol),
    ("severity", TextField::SourceSeverity),
    ("dst_ip", TextField::DestinationIp),
    ("country", TextField::Country),
];

const LOGSOURCE: [(&str, TextField); 3] =
    [("product", TextField::Product), ("category", TextField::Category), ("service", TextField::Service)];

const FINDING: [(&str, TextField); 4] = [
    ("rule", TextField::FindingRule),
    ("id", TextField::FindingId),
    ("title", TextField::FindingTitle),
    ("type", TextField::FindingKind),
];

/// Writes an event in the form of `GET /v1/events/{id}`.
///
/// Always there: `id`, `time`, `source`, `received` (`null` for what has no receipt), `input`, `entity`,
/// `synthetic` and `original` (an object as it was sent, a line as a text, or `null`). Other fields are there
/// when the event has them: `logsource`, `client_ip`, `user`, `host`, `method`, `path`, `status_code`,
/// `user_agent`, `message`, `referer`, `protocol`, `severity`, `dst_ip`, `country`, `bytes`, `format`, `finding`,
/// and under `fields` what has a name of its own.
#[must_use]
pub fn event_json(view: &EventView<'_>) -> String {
    let mut object = ObjectWriter::new();
    object.text("id", &view.id.to_string());
    object.text("time", &view.time.to_string());
    object.text("source", view.text(TextField::Source).unwrap_or_default());
    object.group("logsource", view, &LOGSOURCE);
    if let Some(address) = view.client_ip {
        object.text("client_ip", &address.to_string());
    }
    for (name, field) in TEXTS {
        object.text_of(name, view, field);
    }
    if let Some(status) = view.status_code {
        object.raw("status_code", status);
    }
    if let Some(bytes) = view.response_bytes {
        object.raw("bytes", bytes);
    }
    if view.is_finding() {
        object.raw("finding", finding(view));
    }
    if view.extras().next().is_some() || marks(view).next().is_some() {
        object.raw("fields", extras(view));
    }
    object.text_of("format", view, TextField::Format);
    object.option("received", view.received.map(|it| it.to_string()).as_deref());
    object.text("input", view.text(TextField::Input).unwrap_or_default());
    object.raw("entity", entity(view));
    object.raw("synthetic", view.flags.has(model::event::EventFlags::SYNTHETIC));
    match view.original {
        Original::Json(text) => object.raw("original", text),
        Original::Text(text) => object.text("original", text),
        Original::None => object.option("original", None),
    }
    object.end()
}

/// Writes an event in the short form of `GET /alerts`: `timestamp`, `source`, `ip`, `message`, `user`, `severity`.
///
/// What the event does not have is `null`; its message is then the original, shortened to 2,000 characters. All of it
/// takes at most [`ALERT_EVENT_BYTES_MAX`]: longer texts are cut and end in `…`.
#[must_use]
pub fn event001(view: &EventView<'_>) -> String {
    let mut object = ObjectWriter::new();
    object.text("timestamp", &view.time.to_string());
    let value = |field| view.text(field).map(|it| shortened(it, ALERT_VALUE_BYTES_MAX));
    object.text("source", value(TextField::Source).as_deref().unwrap_or_default());
    object.option("ip", view.client_ip.map(|it| it.to_string()).as_deref());
    let message = view.text(TextField::Message).unwrap_or_else(|| shortened_original(view));
    object.text("message", &shortened(message, MESSAGE_BYTES_MAX));
    object.option("user", value(TextField::User).as_deref());
    object.option("severity", value(TextField::SourceSeverity).as_deref());
    object.end()
}

fn shortened_original<'a>(view: &EventView<'a>) -> &'a str {
    let text = match view.original {
        Original::Json(text) | Original::Text(text) => text,
        Original::None => "",
    };
    text.char_indices().nth(MESSAGE_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

fn finding(view: &EventView<'_>) -> String {
    let mut object = ObjectWriter::new();
    for (name, field) in FINDING {
        object.text_of(name, view, field);
    }
    if let Some(severity) = view.finding_severity() {
        object.text("severity", severity.as_str());
    }
    object.end()
}

fn extras(view: &EventView<'_>) -> String {
    let mut object = ObjectWriter::new();
    let is_mark = |name: &str| TextField::MARKS.iter().any(|it| it.0 == name);
    for (name, value) in view.extras().filter(|it| !is_mark(it.0)) {
        object.text(name, value);
    }
    for (name, value) in marks(view) {
        object.text(name, value);
    }
    object.end()
}

/// What our own doors said of it.
fn marks<'a>(view: &'a EventView<'a>) -> impl Iterator<Item = (&'static str, &'a str)> {
    TextField::MARKS.into_iter().filter_map(|(name, field)| Some((name, view.text(field)?)))
}

fn entity(view: &EventView<'_>) -> String {
    let entity = view.entity();
    let mut object = ObjectWriter::new();
    object.text("kind", entity.kind.as_str());
    object.text("value", &entity.value);
    object.end()
}

/// Writes the members of one object.
#[derive(Debug)]
struct ObjectWriter(String);

impl ObjectWriter {
    fn new() -> Self {
        Self(String::from("{"))
    }

    fn name(&mut self, name: &str) {
        if self.0.len() != 1 {
            self.0.push(',');
        }
        push_text(&mut self.0, name);
        self.0.push(':');
    }

    /// Writes a value that is JSON as it displays.
    fn raw(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.0.push_str(&value.to_string());
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        push_text(&mut self.0, value);
    }

    /// Writes a text or `null`.
    fn option(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    /// Writes a text field that is there.
    fn text_of(&mut self, name: &str, view: &EventView<'_>, field: TextField) {
        if let Some(value) = view.text(field) {
            self.text(name, value);
        }
    }

    /// Writes an object of those of `fields` that are there, unless there is none.
    fn group(&mut self, name: &str, view: &EventView<'_>, fields: &[(&str, TextField)]) {
        if fields.iter().any(|(_, field)| view.text(*field).is_some()) {
            let mut object = Self::new();
            for (name, field) in fields {
                object.text_of(name, view, *field);
            }
            self.raw(name, object.end());
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formats::Sniffer;
    use crate::forms::event;
    use crate::reading::tests::AT_NOON;

    fn written(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        event::read(text.as_bytes(), 0, &AT_NOON, &mut out).unwrap();
        out
    }

    #[test]
    fn an_event_comes_back_with_its_fields_and_its_original() {
        let text = r#"{"time":"2026-11-20T10:00:00Z","source":"shop","client_ip":"192.0.2.1","status_code":404,
            "logsource":{"product":"shop"},"assets":["a,b","NULL","q\"q"],"n":1e400}"#;
        let bytes = written(text);
        let expected = format!(
            r#"{{"id":"00000000000000000000000000000000","time":"2026-11-20T10:00:00Z","source":"shop","logsource":{{"product":"shop"}},"client_ip":"192.0.2.1","status_code":404,"format":"event","received":"2026-11-20T12:00:00Z","input":"door","entity":{{"kind":"ip","value":"192.0.2.1"}},"synthetic":false,"original":{text}}}"#
        );
        assert_eq!(event_json(&EventView::of(&bytes).unwrap()), expected);
    }

    #[test]
    fn a_line_comes_back_as_text_with_its_own_fields() {
        let line = "Nov 20 10:00:00 host-1 sshd[7]: Failed password for root from 192.0.2.1 port 1 ssh2";
        let mut bytes = Vec::new();
        Sniffer::new().read(line.as_bytes(), 0, &AT_NOON, &mut bytes).unwrap();
        let json = event_json(&EventView::of(&bytes).unwrap());
        assert!(json.contains(&format!(r#""original":"{line}""#)), "{json}");
        assert!(
            json.contains(r#""fields":{"pid":"7","process":"sshd","sshd.event":"failed","sshd.method":"password"}"#),
            "{json}"
        );
    }

    #[test]
    fn a_finding_comes_back() {
        let bytes = written(r#"{"finding":{"id":"f","rule":"r","severity":"low","type":"t"}}"#);
        let json = event_json(&EventView::of(&bytes).unwrap());
        assert!(json.contains(r#""finding":{"rule":"r","id":"f","type":"t","severity":"low"}"#), "{json}");
    }

    #[test]
    fn system_001_sees_an_event_in_its_own_form() {
        let bytes =
            written(r#"{"time":1700000000,"source":"auth","message":"hi \"you\"","user":"ann","severity":"Warn"}"#);
        let expected = r#"{"timestamp":"2023-11-14T22:13:20Z","source":"auth","ip":null,"message":"hi \"you\"","user":"ann","severity":"Warn"}"#;
        assert_eq!(event001(&EventView::of(&bytes).unwrap()), expected);
    }

    #[test]
    fn an_original_stands_for_a_message_up_to_2000_characters() {
        let head = "{\"x\":\"";
        let bytes = written(&format!("{head}{}\"}}", "ü".repeat(3000)));
        let json = event001(&EventView::of(&bytes).unwrap());
        assert!(json.contains(&"ü".repeat(2000 - head.len())) && !json.contains(&"ü".repeat(2001 - head.len())));
    }

    #[test]
    fn the_short_form_is_never_longer_than_what_an_alert_stores() {
        for text in ["x".repeat(60_000), "\\u0001".repeat(9_000), "ü".repeat(30_000)] {
            let names = ["source", "message", "user", "severity"].map(|it| format!("\"{it}\":\"{text}\""));
            let json = event001(&EventView::of(&written(&format!("{{{}}}", names.join(",")))).unwrap());
            assert!((8 << 10..=ALERT_EVENT_BYTES_MAX).contains(&json.len()), "{}", json.len());
            let back: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert!(back["message"].as_str().unwrap().ends_with('…'));
        }
    }

    proptest! {
        #[test]
        fn what_comes_back_is_json(message in ".{0,30}", name in ".{0,10}") {
            let mut text = String::from("{\"message\":");
            push_text(&mut text, &message);
            text.push(',');
            push_text(&mut text, &format!("x{name}"));
            text.push_str(":1}");
            let bytes = written(&text);
            let view = EventView::of(&bytes).unwrap();
            for json in [event_json(&view), event001(&view)] {
                let back: serde_json::Value = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(back["message"].as_str(), Some(message.as_str()));
            }
        }
    }
}
