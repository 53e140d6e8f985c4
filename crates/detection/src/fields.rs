//! How rules see an event: names to values, from the normalised fields, the extras, and the JSON it came as.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use attack::exception::Exceptions;
use model::event::{EventView, Original, TextField};
use model::json::{self, RawText};
use sigma::event::{FieldId, Fields, Value};

use crate::inspection::{Inspection, Said};

/// The field with which the gateway says that it has inspected a request.
const INSPECTED: &str = "http.inspected";

/// The bot score of a client that a fetched list knows: as much as that of a crawler that says so.
const LISTED_BOT_SCORE: u32 = 90;

/// Where the values of a field name come from, found out once a rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Accessor {
    Text(TextField, Dynamic),
    ClientIp(Dynamic),
    StatusCode(Dynamic),
    ResponseBytes,
    PathStem,
    PathQuery,
    /// What our own doors wrote; what a sender calls so is not looked at.
    Mark(TextField),
    /// What inspection says of the request, unless the event brings it.
    Inspected(Said, Dynamic),
    Dynamic(Dynamic),
}

/// A field of the original, by its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dynamic {
    name: String,
    /// The parts between the dots; one when there is none.
    path: Vec<String>,
}

/// The names under which Sigma rules and people know our fields. A field that the event does not have is looked for
/// in the original under the same name.
///
/// Source: the Sigma taxonomy, "Webserver" and "Proxy"; `docs/fields.md`.
const ALIASES: &[(&str, TextField)] = &[
    ("source", TextField::Source),
    ("input", TextField::Input),
    ("user", TextField::User),
    ("cs-username", TextField::User),
    ("host", TextField::Host),
    ("cs-host", TextField::Host),
    ("method", TextField::Method),
    ("cs-method", TextField::Method),
    ("path", TextField::Path),
    ("endpoint", TextField::Path),
    ("uri", TextField::Path),
    ("c-uri", TextField::Path),
    ("user_agent", TextField::UserAgent),
    ("cs-user-agent", TextField::UserAgent),
    ("c-useragent", TextField::UserAgent),
    ("referer", TextField::Referer),
    ("cs-referer", TextField::Referer),
    ("cs-version", TextField::Protocol),
    ("message", TextField::Message),
    ("severity", TextField::SourceSeverity),
    ("country", TextField::Country),
    ("dst_ip", TextField::DestinationIp),
];

/// The accessors of a rule set's field names.
#[derive(Clone, Debug, Default)]
pub struct Accessors {
    by_field: Vec<Accessor>,
    /// What inspection does not say.
    exceptions: Arc<Exceptions>,
}

impl Accessors {
    /// Finds out where the values of each name come from.
    #[must_use]
    pub fn of(names: &[String]) -> Self {
        Self { by_field: names.iter().map(|it| accessor_of(it)).collect(), exceptions: Arc::default() }
    }

    /// Leaves out of what inspection says whatever `exceptions` cover.
    pub fn except(&mut self, exceptions: Arc<Exceptions>) {
        self.exceptions = exceptions;
    }

    /// What is left out of what inspection says.
    #[must_use]
    pub const fn exceptions(&self) -> &Arc<Exceptions> {
        &self.exceptions
    }

    /// Whether the field is the address of the client.
    #[must_use]
    pub fn is_client_ip(&self, field: FieldId) -> bool {
        matches!(self.by_field.get(field.0 as usize), Some(Accessor::ClientIp(_)))
    }

    /// Which text of ours the field is, if it is one.
    #[must_use]
    pub fn text_field(&self, field: FieldId) -> Option<TextField> {
        match self.by_field.get(field.0 as usize)? {
            Accessor::Text(it, _) => Some(*it),
            _ => None,
        }
    }
}

fn accessor_of(name: &str) -> Accessor {
    let dynamic = Dynamic { name: name.to_owned(), path: name.split('.').map(str::to_owned).collect() };
    match name {
        "client_ip" | "src_ip" | "ip" | "c-ip" => Accessor::ClientIp(dynamic),
        "status_code" | "sc-status" | "status" => Accessor::StatusCode(dynamic),
        "response_bytes" | "sc-bytes" => Accessor::ResponseBytes,
        "cs-uri-stem" => Accessor::PathStem,
        "cs-uri-query" => Accessor::PathQuery,
        _ if let Some((_, mark)) = TextField::MARKS.iter().find(|it| it.0 == name) => Accessor::Mark(*mark),
        _ if let Some(said) = Said::of(name) => Accessor::Inspected(said, dynamic),
        _ => match ALIASES.iter().find(|it| it.0 == name) {
            Some((_, field)) => Accessor::Text(*field, dynamic),
            None => Accessor::Dynamic(dynamic),
        },
    }
}

/// Memory that is used again from event to event: where the members of the original lie.
#[derive(Debug, Default)]
pub struct MemberIndex {
    /// Key and value, as places in the original text.
    members: Vec<(Range<u32>, Range<u32>)>,
    is_built: bool,
    inspection: Inspection,
}

/// An event as the rules see it.
pub struct EventFields<'a> {
    view: &'a EventView<'a>,
    accessors: &'a Accessors,
    index: RefCell<&'a mut MemberIndex>,
}

impl<'a> EventFields<'a> {
    /// Looks at `view`; `index` is memory from the event before.
    #[must_use]
    pub fn new(view: &'a EventView<'a>, accessors: &'a Accessors, index: &'a mut MemberIndex) -> Self {
        index.is_built = false;
        index.inspection.forget();
        Self { view, accessors, index: RefCell::new(index) }
    }

    fn visit_dynamic(&self, dynamic: &Dynamic, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        for (name, value) in self.view.extras() {
            if name == dynamic.name {
                see(Value::Text(value));
                return true;
            }
        }
        let Original::Json(text) = self.view.original else { return false };
        self.build_index(text);
        if let Some(value) = self.member(text, &dynamic.name) {
            return show(value, see).is_present;
        }
        let Some((first, rest)) = dynamic.path.split_first().filter(|it| !it.1.is_empty()) else { return false };
        self.member(text, first).is_some_and(|value| show_path(value, rest, see).is_present)
    }

    /// Shows what inspection says of the request that the event tells of; it is inspected once, when a rule first asks.
    fn visit_inspected(&self, said: Said, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let mut index = self.index.borrow_mut();
        index.inspection.visit(self.view, &self.accessors.exceptions, said, see)
    }

    /// Whether the gateway inspected the request: it saw all of it, we see what a log has.
    fn is_inspected(&self) -> bool {
        let inspected = Dynamic { name: INSPECTED.to_owned(), path: vec!["http".to_owned(), "inspected".to_owned()] };
        let mut is_true = false;
        self.visit_dynamic(&inspected, &mut |it| {
            is_true = matches!(it, Value::Bool(true) | Value::Text("true"));
            true
        });
        is_true
    }

    fn build_index(&self, text: &str) {
        let mut index = self.index.borrow_mut();
        if index.is_built {
            return;
        }
        index.is_built = true;
        index.members.clear();
        let place = |part: &str| {
            let start = part.as_ptr() as usize - text.as_ptr() as usize;
            start as u32..(start + part.len()) as u32
        };
        for (key, value) in json::members(text) {
            index.members.push((place(key.0), place(value)));
        }
    }

    /// Finds a member of the original; of a repeated key the last wins.
    fn member(&self, text: &'a str, name: &str) -> Option<&'a str> {
        let index = self.index.borrow();
        let found = index.members.iter().rev().find(|(key, _)| {
            let key = &text[key.start as usize..key.end as usize];
            key == name || (key.len() != name.len() && key.contains('\\') && RawText(key).decode() == name)
        })?;
        Some(&text[found.1.start as usize..found.1.end as usize])
    }
}

struct Shown {
    is_present: bool,
    is_ended: bool,
}

/// Shows the scalars of a value; a list shows its own, an object nothing.
fn show(value: &str, see: &mut dyn FnMut(Value<'_>) -> bool) -> Shown {
    let is_ended = match json::Value::of(value) {
        None | Some(json::Value::Object(_)) => false,
        Some(json::Value::Null) => see(Value::Null),
        Some(json::Value::Bool(it)) => see(Value::Bool(it)),
        Some(json::Value::Number(text)) => see(text.parse().map_or(Value::Number(text), Value::Integer)),
        Some(json::Value::Text(text)) => see(Value::Text(&text.decode())),
        Some(json::Value::Array(text)) => json::elements(text).any(|it| show(it, see).is_ended),
    };
    Shown { is_present: true, is_ended }
}

/// Follows a path through objects, and through the elements of lists.
fn show_path(value: &str, path: &[String], see: &mut dyn FnMut(Value<'_>) -> bool) -> Shown {
    let Some((first, rest)) = path.split_first() else { return show(value, see) };
    let mut shown = Shown { is_present: false, is_ended: false };
    match json::Value::of(value) {
        Some(json::Value::Object(text)) => {
            // A literal key with dots wins over the path.
            let literal = (!rest.is_empty()).then(|| raw_member(text, &path.join("."))).flatten();
            if let Some(value) = literal {
                return show(value, see);
            }
            if let Some(value) = raw_member(text, first) {
                return show_path(value, rest, see);
            }
        }
        Some(json::Value::Array(text)) => {
            for element in json::elements(text) {
                let inner = show_path(element, path, see);
                shown.is_present |= inner.is_present;
                if inner.is_ended {
                    return Shown { is_present: true, is_ended: true };
                }
            }
        }
        _ => {}
    }
    shown
}

fn raw_member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    json::members(text).filter(|(key, _)| key.0 == name || key.decode() == name).last().map(|it| it.1)
}

impl Fields for EventFields<'_> {
    fn visit(&self, field: FieldId, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let Some(accessor) = self.accessors.by_field.get(field.0 as usize) else { return false };
        let text = match accessor {
            Accessor::Text(field, dynamic) => match self.view.text(*field) {
                Some(text) => text,
                None => return self.visit_dynamic(dynamic, see),
            },
            Accessor::PathStem => match self.view.path_stem() {
                Some(text) => text,
                None => return false,
            },
            Accessor::PathQuery => match self.view.path_query() {
                Some(text) => text,
                None => return false,
            },
            Accessor::ClientIp(dynamic) => {
                let Some(address) = self.view.client_ip else { return self.visit_dynamic(dynamic, see) };
                see(Value::Text(&address.to_string()));
                return true;
            }
            Accessor::StatusCode(dynamic) => {
                let Some(status) = self.view.status_code else { return self.visit_dynamic(dynamic, see) };
                see(Value::Integer(i64::from(status)));
                return true;
            }
            Accessor::ResponseBytes => {
                let Some(bytes) = self.view.response_bytes else { return false };
                see(Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX)));
                return true;
            }
            Accessor::Mark(field) => match self.view.text(*field) {
                Some(text) => text,
                None => return false,
            },
            Accessor::Inspected(Said::BotScore, _) if self.view.text(TextField::Client).is_some() => {
                see(Value::Integer(i64::from(LISTED_BOT_SCORE)));
                return true;
            }
            Accessor::Inspected(said, dynamic) => {
                // The event's own word first; that it was inspected matters only where we would say something.
                return self.visit_dynamic(dynamic, see)
                    || (self.index.borrow_mut().inspection.says(self.view, &self.accessors.exceptions, *said)
                        && !self.is_inspected()
                        && self.visit_inspected(*said, see));
            }
            Accessor::Dynamic(dynamic) => return self.visit_dynamic(dynamic, see),
        };
        see(Value::Text(text));
        true
    }

    fn visit_texts(&self, see: &mut dyn FnMut(&str) -> bool) -> bool {
        if let Original::Json(text) = self.view.original {
            return any_text(text, see);
        }
        let named = TextField::NAMED.iter().filter_map(|(_, field)| self.view.text(*field));
        let mut all = named.chain(self.view.extras().map(|it| it.1));
        if all.any(&mut *see) {
            return true;
        }
        matches!(self.view.original, Original::Text(text) if see(text))
    }
}

fn any_text(value: &str, see: &mut dyn FnMut(&str) -> bool) -> bool {
    match json::Value::of(value) {
        Some(json::Value::Text(text)) => see(&text.decode()),
        Some(json::Value::Number(text)) => see(text),
        Some(json::Value::Array(text)) => json::elements(text).any(|it| any_text(it, see)),
        Some(json::Value::Object(text)) => json::members(text).any(|it| any_text(it.1, see)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use model::event::EventWriter;
    use model::id::EventId;
    use model::time::Timestamp;

    use super::*;

    fn values(original: &str, name: &str) -> (bool, Vec<String>) {
        let mut bytes = Vec::new();
        EventWriter::new(&mut bytes, EventId(1), Timestamp(1), None, 0)
            .client_ip([192, 0, 2, 1].into())
            .status_code(404)
            .text(TextField::Path, "/a?b=c")
            .extra("sshd.event", "failed")
            .extra("http.enforced", "true")
            .text(TextField::VerifiedCrawler, "googlebot")
            .text(TextField::Client, "crawler")
            .original(Original::Json(original));
        let view = EventView::of(&bytes).unwrap();
        let accessors = Accessors::of(&[name.to_owned()]);
        let mut index = MemberIndex::default();
        let fields = EventFields::new(&view, &accessors, &mut index);
        let mut found = Vec::new();
        let is_present = fields.visit(FieldId(0), &mut |it| {
            found.push(match it {
                Value::Null => "null".to_owned(),
                Value::Bool(it) => it.to_string(),
                Value::Integer(it) => it.to_string(),
                Value::Number(it) | Value::Text(it) => it.to_owned(),
            });
            false
        });
        (is_present, found)
    }

    #[track_caller]
    fn check(name: &str, expected: Option<&[&str]>) {
        let original = r#"{"eventName":"A","user":{"name":"ann","tags":[{"k":"x"},{"k":"y"}]},"a.b":1,"a":{"b":2},
            "list":["p",7,null],"big":18446744073709551616,"esc\u0061ped":true,"twice":1,"twice":2,"n":null,"client_ip":"no",
            "http.enforced":true,"http.verified_crawler":"x","http":{"enforced":true,"bot_score":1}}"#;
        let (is_present, found) = values(original, name);
        assert_eq!(
            is_present.then_some(found),
            expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect()),
            "{name}"
        );
    }

    #[test]
    fn names_lead_to_values() {
        check("client_ip", Some(&["192.0.2.1"]));
        check("sc-status", Some(&["404"]));
        check("cs-uri-stem", Some(&["/a"]));
        check("cs-uri-query", Some(&["b=c"]));
        check("sshd.event", Some(&["failed"]));
        check("eventName", Some(&["A"]));
        check("user.name", Some(&["ann"]));
        check("user.tags.k", Some(&["x", "y"]));
        check("a.b", Some(&["1"]));
        check("list", Some(&["p", "7", "null"]));
        check("big", Some(&["18446744073709551616"]));
        check("escaped", Some(&["true"]));
        check("twice", Some(&["2"]));
        check("n", Some(&["null"]));
        check("user", Some(&[]));
        check("nothing", None);
        check("user.nothing", None);
        check("message", None);
    }

    #[test]
    fn a_mark_is_what_a_door_wrote_and_never_what_a_sender_says() {
        check("http.verified_crawler", Some(&["googlebot"]));
        check("http.enforced", None);
        check("http.bot_score", Some(&["90"]));
    }
}
