//! Templates of webhook bodies: JSON with `{{name}}` inside its strings. Values only; no condition, no loop, no call.
//!
//! One walk over the template, so the time is that of its length.

use serde_json::Value;

use crate::form;
use crate::message::Message;

/// The longest template, in bytes.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 16 << 10;
/// How many values a template may name.
const VALUES_MAX: usize = 100;
/// The longest value, in characters; a longer one is cut.
const VALUE_CHARS_MAX: usize = 2000;

/// The names that a template may use besides the members of the alert.
const OWN: [&str; 3] = ["message_id", "kind", "message"];
/// The members of the alert that a template may use.
const MEMBERS: [&str; 17] = [
    "id",
    "rule_id",
    "title",
    "type",
    "severity",
    "confidence",
    "status",
    "client_ip",
    "count",
    "first_seen",
    "last_seen",
    "details",
    "reason",
    "description",
    "detector",
    "source",
    "user",
];

/// The member of a message of Discord that has its text.
const DISCORD_MEMBER: &str = "content";
/// The members by which chats tell their text: Discord's, and that of Slack, Mattermost and Teams.
const CHAT_MEMBERS: [&str; 2] = [DISCORD_MEMBER, "text"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(String),
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    /// Whether it has the form of a chat, in which values could call people.
    is_chat: bool,
}

impl Template {
    /// Reads a template. With a plain word in the place of each value it must be JSON.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if TEMPLATE_BYTES_MAX < text.len() {
            return Err("is longer than 16 KiB".to_owned());
        }
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once("{{") {
            let (name, after) = behind.split_once("}}").ok_or("has a `{{` without `}}`")?;
            let name = name.trim();
            if !OWN.contains(&name) && !MEMBERS.contains(&name) {
                let there = [OWN.as_slice(), MEMBERS.as_slice()].concat().join(", ");
                return Err(format!("names the value `{}`; there are {there}", name.escape_debug()));
            }
            pieces.extend([Piece::Text(before.to_owned()), Piece::Name(name.to_owned())]);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        if 2 * VALUES_MAX < pieces.len() - 1 {
            return Err(format!("names more than {VALUES_MAX} values"));
        }
        let mut template = Self { pieces, is_chat: false };
        let shown = template.fill(|_| "x".to_owned());
        let shown: Value =
            serde_json::from_str(&shown).map_err(|it| format!("is no JSON once values are in their places: {it}"))?;
        template.is_chat = CHAT_MEMBERS.iter().any(|it| shown.get(it).is_some());
        if shown.get(DISCORD_MEMBER).is_some() && shown.get("allowed_mentions").is_none() {
            template.forbid_mentions();
        }
        Ok(template)
    }

    /// Has Discord call nobody, whatever the text says.
    ///
    /// Source: the documentation of Discord, "Allowed Mentions Object".
    fn forbid_mentions(&mut self) {
        if let Some(Piece::Text(last)) = self.pieces.last_mut()
            && let Some(end) = last.rfind('}')
        {
            last.replace_range(end.., ",\"allowed_mentions\":{\"parse\":[]}}");
        }
    }

    /// Puts the values of a message in their places, escaped as in a string of JSON.
    pub(crate) fn render(&self, message: &Message) -> String {
        let alert = form::alert(message);
        self.fill(|name| match name {
            "message_id" => message.id.to_string(),
            "kind" => message.kind.as_str().to_owned(),
            "message" => message.text(),
            _ => match &alert[name] {
                Value::String(it) => it.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            },
        })
    }

    fn fill(&self, value: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Name(name) => {
                    let value: String = value(name).chars().take(VALUE_CHARS_MAX).collect();
                    let value = if self.is_chat { calling_nobody(&value) } else { value };
                    let quoted = Value::String(value).to_string();
                    out.push_str(&quoted[1..quoted.len() - 1]);
                }
            }
        }
        out
    }
}

/// Breaks what chats take for calling people: `@everyone`, `<!here>`.
fn calling_nobody(value: &str) -> String {
    value.replace('@', "@\u{200b}").replace("<!", "<\u{200b}!")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::samples::{HOSTILE, alert, message};
    use crate::message::Kind;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = Template::parse(text).expect_err(text);
        assert!(error.starts_with(expected), "{text}: {error}");
    }

    #[test]
    fn values_stand_in_strings() {
        let template = Template::parse(r#"{"what":"{{ severity }}: {{title}}","of":["{{client_ip}}"]}"#).unwrap();
        let filled = template.render(&message(Kind::Raised, alert()));
        assert_eq!(filled, r#"{"what":"high: Brute force attack","of":["203.0.113.7"]}"#);
    }

    #[test]
    fn no_value_leaves_its_string() {
        let template = Template::parse(r#"{"a":"{{title}}","b":"{{message}}"}"#).unwrap();
        for hostile in HOSTILE {
            let alert = model::alert::Alert { title: (*hostile).to_owned(), ..alert() };
            let filled: Value = serde_json::from_str(&template.render(&message(Kind::Raised, alert))).expect(hostile);
            assert_eq!((filled["a"].as_str(), filled.as_object().map(serde_json::Map::len)), (Some(*hostile), Some(2)));
        }
        let injected = model::alert::Alert { title: "{{user}}\",\"admin\":\"".into(), ..alert() };
        let filled: Value = serde_json::from_str(&template.render(&message(Kind::Raised, injected))).unwrap();
        assert_eq!(filled["a"], "{{user}}\",\"admin\":\"");
    }

    #[test]
    fn a_chat_calls_nobody_whatever_was_logged() {
        let calling = model::alert::Alert { title: "@everyone <!here> <@&7> a@b.example".into(), ..alert() };
        let render = |template: &str| -> Value {
            let filled = Template::parse(template).unwrap().render(&message(Kind::Raised, calling.clone()));
            serde_json::from_str(&filled).expect(&filled)
        };
        let discord = render(r#"{"content": "{{title}}", "tts": false }"#);
        assert_eq!(discord["allowed_mentions"], serde_json::json!({"parse": []}));
        for filled in [discord["content"].as_str(), render(r#"{"text":"{{title}}"}"#)["text"].as_str()] {
            let filled = filled.unwrap();
            assert!(!filled.contains("@everyone") && !filled.contains("<!here") && !filled.contains("<@&"), "{filled}");
        }
        let own = render(r#"{"content":"{{title}}","allowed_mentions":{"users":["7"]}}"#);
        assert_eq!(own["allowed_mentions"], serde_json::json!({"users": ["7"]}));
        assert_eq!(render(r#"{"title":"{{title}}"}"#)["title"], calling.title);
    }

    #[test]
    fn a_mistake_is_found_when_it_is_read() {
        refused(r#"{"a":"{{title"}"#, "has a `{{` without `}}`");
        refused(r#"{"a":"{{secret}}"}"#, "names the value `secret`; there are message_id,");
        refused(r#"{"a":"{{#if title}}"}"#, "names the value `#if title`");
        refused(r#"{"a":{{title}}}"#, "is no JSON");
        refused("", "is no JSON");
    }

    #[test]
    fn the_longest_is_taken_and_one_more_is_not() {
        let of = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
        assert!(Template::parse(&of(TEMPLATE_BYTES_MAX)).is_ok());
        refused(&of(TEMPLATE_BYTES_MAX + 1), "is longer than 16 KiB");
        let values = |count: usize| format!("\"{}\"", "{{id}}".repeat(count));
        assert!(Template::parse(&values(VALUES_MAX)).is_ok());
        refused(&values(VALUES_MAX + 1), "names more than 100 values");
        let long = model::alert::Alert { title: "x".repeat(VALUE_CHARS_MAX + 1), ..alert() };
        let filled = Template::parse("\"{{title}}\"").unwrap().render(&message(Kind::Raised, long));
        assert_eq!(filled.len(), VALUE_CHARS_MAX + 2);
    }
}
