//! Our own event: every field optional, each under one of its names, everything else kept.
//!
//! | field | names, the first that is there wins | read from |
//! |---|---|---|
//! | time | `time`, `timestamp`, `@timestamp`; else receipt | RFC 3339 or an epoch number |
//! | client address | `client_ip`, `src_ip`, `ip` | a text |
//! | path | `path`, `endpoint`, `uri` | a text or a number |
//! | status | `status_code` | a number or a text of digits, 100 to 599 |
//! | user, host, source, user agent | `user`, `host`, `source`, `user_agent` | a text or a number; of an object its `name` or `original` |
//! | others | `method`, `message`, `referer`, `protocol`, `severity`, `country`, `dst_ip` | a text or a number |
//! | log source | `logsource` (`product`, `category`, `service`), `sigma_product`, `sigma_category`, `sigma_service` | texts |
//! | id | `id` | a text or a number; an empty text is none |
//! | finding | `finding`, see [`super::finding`] | an object |
//!
//! `null` counts as absent. A `dst_ip`, `referer`, `protocol`, `severity` or `country` of another type is kept
//! and not read. An event that names no log source and has a method, a path or a status is a request to a web
//! server: category `webserver`, complete. One that names its own is not complete.

use std::borrow::Cow;

use model::entity::parse_ip;
use model::event::{Original, TextField};
use model::json::{self, Value};

use crate::draft::Draft;
use crate::forms::{Complaints, finding, set_if_text};
use crate::member::Member;
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::Refusal;

/// The members that are read, by field; of those with several names the first comes first.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    time: [Option<Member<'a>>; 3],
    client_ip: [Option<Member<'a>>; 3],
    path: [Option<Member<'a>>; 3],
    sigma: [Option<Member<'a>>; 3],
    id: Option<Member<'a>>,
    source: Option<Member<'a>>,
    logsource: Option<Member<'a>>,
    user: Option<Member<'a>>,
    host: Option<Member<'a>>,
    method: Option<Member<'a>>,
    status_code: Option<Member<'a>>,
    user_agent: Option<Member<'a>>,
    message: Option<Member<'a>>,
    finding: Option<Member<'a>>,
    referer: Option<Member<'a>>,
    protocol: Option<Member<'a>>,
    severity: Option<Member<'a>>,
    country: Option<Member<'a>>,
    dst_ip: Option<Member<'a>>,
}

impl<'a> Found<'a> {
    /// Keeps a member under its field, the last of a name; forgets what is no field of ours.
    pub(super) fn take(&mut self, member: Member<'a>) {
        let slot = match &*member.name {
            "time" => &mut self.time[0],
            "timestamp" => &mut self.time[1],
            "@timestamp" => &mut self.time[2],
            "client_ip" => &mut self.client_ip[0],
            "src_ip" => &mut self.client_ip[1],
            "ip" => &mut self.client_ip[2],
            "path" => &mut self.path[0],
            "endpoint" => &mut self.path[1],
            "uri" => &mut self.path[2],
            "sigma_product" => &mut self.sigma[0],
            "sigma_category" => &mut self.sigma[1],
            "sigma_service" => &mut self.sigma[2],
            "id" => &mut self.id,
            "source" => &mut self.source,
            "logsource" => &mut self.logsource,
            "user" => &mut self.user,
            "host" => &mut self.host,
            "method" => &mut self.method,
            "status_code" => &mut self.status_code,
            "user_agent" => &mut self.user_agent,
            "message" => &mut self.message,
            "finding" => &mut self.finding,
            "referer" => &mut self.referer,
            "protocol" => &mut self.protocol,
            "severity" => &mut self.severity,
            "country" => &mut self.country,
            "dst_ip" => &mut self.dst_ip,
            _ => return,
        };
        *slot = Some(member);
    }

    /// Writes the event of `object`, whose members these are, at the end of `out`.
    pub(super) fn read(
        &self,
        object: Object<'a>,
        place: u64,
        reading: &Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Vec<Refusal>> {
        let mut complaints = Complaints::default();
        let mut draft = Draft::new("event", Original::Json(object.text()));
        draft.time = complaints.optional(first(&self.time), Member::time);
        draft.client_ip = complaints.optional(first(&self.client_ip), Member::address);
        draft.status_code = complaints.optional(self.status_code.as_ref(), Member::status);
        draft.own_id = complaints.optional(self.id.as_ref(), Member::scalar);
        self.read_texts(&mut draft, &mut complaints);
        if let Some(member) = present(self.finding.as_ref()) {
            finding::read(member, &mut draft, &mut complaints);
        }
        self.read_logsource(&mut draft, &mut complaints);
        complaints.end()?;
        complete_logsource(&mut draft);
        draft.write(reading, place, out);
        Ok(())
    }

    fn read_texts(&self, draft: &mut Draft<'a>, complaints: &mut Complaints) {
        let strict = [
            (TextField::Path, first(&self.path)),
            (TextField::Method, self.method.as_ref()),
            (TextField::Message, self.message.as_ref()),
        ];
        for (field, member) in strict {
            draft.set_option(field, complaints.optional(member, Member::scalar));
        }
        let named = [
            (TextField::Source, self.source.as_ref()),
            (TextField::User, self.user.as_ref()),
            (TextField::Host, self.host.as_ref()),
            (TextField::UserAgent, self.user_agent.as_ref()),
        ];
        for (field, member) in named {
            draft.set_option(field, complaints.optional(member, named_text).flatten());
        }
        set_if_text(draft, TextField::Referer, self.referer.as_ref());
        set_if_text(draft, TextField::Protocol, self.protocol.as_ref());
        set_if_text(draft, TextField::SourceSeverity, self.severity.as_ref());
        set_if_text(draft, TextField::Country, self.country.as_ref());
        let destination = self.dst_ip.as_ref().and_then(Member::as_text).and_then(|it| parse_ip(&it));
        draft.set_option(TextField::DestinationIp, destination.map(|it| Cow::Owned(it.to_string())));
    }

    fn read_logsource(&self, draft: &mut Draft<'a>, complaints: &mut Complaints) {
        const DIMENSIONS: [(&str, TextField); 3] =
            [("product", TextField::Product), ("category", TextField::Category), ("service", TextField::Service)];
        if let Some(member) = present(self.logsource.as_ref()) {
            let Value::Object(text) = member.value() else {
                complaints
                    .push(member.refuse("which is no log source; give an object with product, category, service"));
                return;
            };
            for inside in Object::inside(text).members() {
                if let Some((name, field)) = DIMENSIONS.iter().find(|(name, _)| *name == inside.name) {
                    let inside = Member::new(format!("logsource.{name}"), inside.raw);
                    draft.set_option(*field, complaints.optional(Some(&inside), Member::text));
                }
            }
        }
        for ((_, field), member) in DIMENSIONS.iter().zip(&self.sigma) {
            if let Some(text) = complaints.optional(member.as_ref(), Member::text) {
                draft.set(*field, text);
            }
        }
    }
}

/// The first of several spellings that is there and not `null`.
fn first<'m, 'a>(members: &'m [Option<Member<'a>>]) -> Option<&'m Member<'a>> {
    members.iter().find_map(|it| present(it.as_ref()))
}

fn present<'m, 'a>(member: Option<&'m Member<'a>>) -> Option<&'m Member<'a>> {
    member.filter(|it| !it.is_null())
}

/// Reads a text, or of an object, as other schemas nest them, its name; an object without one is kept and not read.
fn named_text<'a>(member: &Member<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Value::Object(text) = member.value() else { return member.scalar().map(Some) };
    let name = json::member(text, "name").or_else(|| json::member(text, "original"));
    Ok(match name {
        Some(Value::Text(text)) => Some(text.decode()),
        _ => None,
    })
}

/// Gives a log source to an event that names none.
fn complete_logsource(draft: &mut Draft<'_>) {
    let names_one = [TextField::Product, TextField::Category, TextField::Service].iter().any(|it| draft.has(*it));
    let is_request = draft.status_code.is_some() || draft.has(TextField::Method) || draft.has(TextField::Path);
    if draft.has(TextField::FindingRule) && !names_one {
        draft.set(TextField::Category, finding::CATEGORY);
    } else if is_request && !names_one {
        draft.set(TextField::Category, "webserver");
        draft.is_complete = true;
    }
}
