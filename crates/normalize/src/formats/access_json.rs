//! Access logs as JSON: nginx under the names of its variables, Apache under the usual ones, Caddy's own.
//!
//! A line needs a status or a request; what else is there is read. The client is the peer of the connection,
//! never a forwarded header, which anyone can write. Log source: category `webserver`, complete.
//!
//! Source: nginx, "Alphabetical index of variables"; Caddy, "How logging works".

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use model::entity::parse_ip;
use model::event::{Original, TextField};
use model::json::{self, Value};
use model::time::Timestamp;

use crate::draft::Draft;
use crate::formats::combined::{clf_time, split_request};
use crate::formats::{Format, Read, is_object};
use crate::forms::pick;
use crate::framing::Framing;
use crate::member::Member;
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::{Code, Refusal};

/// The format's line in the list.
pub(super) const FORMAT: Format = Format {
    name: "access-json",
    about: "access logs as JSON: nginx variables, Apache, Caddy",
    framing: Framing::Lines,
    detect,
    read,
};

/// Names of the peer that our own events do not use: `remote_addr`, `remote_ip`, `remoteIP`, `remote_host`.
static SIGNS: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| [Finder::new("\"remote"), Finder::new("\"clientip\""), Finder::new("\"clientIp\"")]);

const TIMES: [&str; 7] = ["time_iso8601", "time_local", "msec", "ts", "time", "timestamp", "@timestamp"];
const CLIENTS: [&str; 8] =
    ["remote_addr", "remote_ip", "remoteIP", "remoteIp", "clientip", "clientIp", "remote_host", "client_ip"];
const METHODS: [&str; 2] = ["request_method", "method"];
const PATHS: [&str; 5] = ["request_uri", "uri", "path", "url", "endpoint"];
const STATUSES: [&str; 4] = ["status", "status_code", "response_code", "response"];
const SIZES: [&str; 5] = ["body_bytes_sent", "bytes_sent", "bytes", "size", "response_size"];
const USERS: [&str; 4] = ["remote_user", "user", "user_id", "remoteUser"];
const HOSTS: [&str; 5] = ["http_host", "host", "server_name", "virtual_host", "vhost"];
const AGENTS: [&str; 5] = ["http_user_agent", "user_agent", "userAgent", "agent", "useragent"];
const REFERERS: [&str; 3] = ["http_referer", "referer", "referrer"];
const PROTOCOLS: [&str; 3] = ["server_protocol", "protocol", "proto"];

fn detect(record: &[u8]) -> bool {
    is_object(record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record))
        && SIGNS.iter().any(|it| it.find(record).is_some())
}

fn read(record: &[u8], offset: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<Read, Refusal> {
    if !detect(record) {
        return Err(Refusal::record(Code::BadLine, "no access log: there is no address of a client"));
    }
    let object = Object::parse(record)?;
    let mut draft = Draft::new(FORMAT.name, Original::Json(object.text()));
    let [request] = pick(object, ["request"]);
    match request.as_ref().map(Member::value) {
        Some(Value::Object(text)) => set_caddy_request(&mut draft, text),
        Some(Value::Text(text)) => set_request_line(&mut draft, text.decode()),
        _ => {}
    }
    draft.time = set_time(object)?;
    set_texts(&mut draft, object);
    draft.status_code = first(object, STATUSES).and_then(|it| it.as_status());
    draft.response_bytes = first(object, SIZES).and_then(|it| it.as_scalar()).and_then(|it| it.parse().ok());
    let is_request = draft.status_code.is_some() || draft.has(TextField::Method) || draft.has(TextField::Path);
    if !is_request {
        return Err(Refusal::record(Code::BadLine, "no access log: there is no status and no request"));
    }
    draft.set(TextField::Category, "webserver");
    draft.is_complete = true;
    draft.write(reading, offset, out);
    Ok(Read::Event)
}

/// The first of several names whose value is there and says something.
fn first<'a, const N: usize>(object: Object<'a>, names: [&str; N]) -> Option<Member<'a>> {
    pick(object, names).into_iter().flatten().find(|it| it.as_scalar().is_some_and(|it| says_something(&it)))
}

fn says_something(text: &str) -> bool {
    !matches!(text, "" | "-")
}

fn set_time(object: Object<'_>) -> Result<Option<Timestamp>, Refusal> {
    let Some(member) = first(object, TIMES) else { return Ok(None) };
    let clf = member.as_text().and_then(|it| clf_time(it.trim_matches(['[', ']']).as_bytes()));
    clf.map_or_else(|| member.lenient_time(), Ok).map(Some)
}

fn set_texts<'a>(draft: &mut Draft<'a>, object: Object<'a>) {
    let text = |member: Option<Member<'a>>| member.and_then(|it| it.as_scalar());
    let found = [
        (TextField::Method, text(first(object, METHODS))),
        (TextField::Path, text(first(object, PATHS))),
        (TextField::User, text(first(object, USERS))),
        (TextField::Host, text(first(object, HOSTS))),
        (TextField::UserAgent, text(first(object, AGENTS))),
        (TextField::Referer, text(first(object, REFERERS))),
        (TextField::Protocol, text(first(object, PROTOCOLS))),
    ];
    for (field, value) in found.into_iter().filter(|(_, value)| value.is_some()) {
        draft.set_option(field, value);
    }
    if draft.client_ip.is_none() {
        draft.client_ip = text(first(object, CLIENTS)).and_then(|it| parse_ip(&it));
    }
}

fn set_request_line<'a>(draft: &mut Draft<'a>, line: Cow<'a, str>) {
    match split_request(&line) {
        Some((method, path, protocol)) => {
            draft.set(TextField::Method, method.to_owned());
            draft.set(TextField::Path, path.to_owned());
            draft.set_option(TextField::Protocol, protocol.map(|it| Cow::Owned(it.to_owned())));
        }
        None if says_something(&line) => draft.set(TextField::Message, line),
        None => {}
    }
}

/// Reads Caddy's object `request`, with its headers as lists.
fn set_caddy_request<'a>(draft: &mut Draft<'a>, request: &'a str) {
    let request = Object::inside(request);
    let [remote, headers] = pick(request, ["remote_ip", "headers"]);
    set_texts(draft, request);
    draft.client_ip = remote.and_then(|it| it.as_text()).and_then(|it| parse_ip(&it)).or(draft.client_ip);
    let Some(Value::Object(headers)) = headers.as_ref().map(Member::value) else { return };
    for (name, list) in json::members(headers) {
        let field = match &*name.decode().to_ascii_lowercase() {
            "user-agent" => TextField::UserAgent,
            "referer" => TextField::Referer,
            _ => continue,
        };
        if let Some(Value::Text(text)) = json::elements(list).next().and_then(Value::of) {
            draft.set(field, text.decode());
        }
    }
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventView};

    use super::*;
    use crate::reading::tests::AT_NOON;

    #[track_caller]
    fn check(text: &str, expected: [Option<&str>; 4], status: Option<u16>, bytes: Option<u64>) {
        let mut out = Vec::new();
        read(text.as_bytes(), 0, &AT_NOON, &mut out).unwrap();
        let view = EventView::of(&out).unwrap();
        let ip = view.client_ip.map(|it| it.to_string());
        let [method, path, agent] = [TextField::Method, TextField::Path, TextField::UserAgent].map(|it| view.text(it));
        assert_eq!([ip.as_deref(), method, path, agent], expected, "{text}");
        assert_eq!((view.status_code, view.response_bytes), (status, bytes));
        assert_eq!(view.time.to_string(), "2026-11-20T10:00:00Z");
        assert!(view.flags.has(EventFlags::LOGSOURCE_COMPLETE));
        assert_eq!(view.text(TextField::Category), Some("webserver"));
    }

    #[test]
    fn reads_nginx_apache_and_caddy() {
        let nginx = r#"{"time_iso8601":"2026-11-20T12:00:00+02:00","remote_addr":"192.0.2.1","status":"401","remote_user":"-",
            "request":"GET /a HTTP/1.1","body_bytes_sent":"512","http_user_agent":"curl"}"#;
        let nginx_msec = r#"{"msec":"1795168800.000","remote_addr":"192.0.2.1","status":401,"request_method":"GET",
            "request_uri":"/a","bytes_sent":512,"http_user_agent":"curl"}"#;
        let apache = r#"{"time":"[20/Nov/2026:10:00:00 +0000]","remoteIP":"192.0.2.1","method":"GET","request":"/a",
            "uri":"/a","status":"401","bytes":512,"userAgent":"curl"}"#;
        let caddy = r#"{"level":"info","ts":1795168800.0,"logger":"http.log.access","request":{"remote_ip":"192.0.2.1","proto":
            "HTTP/2.0","method":"GET","host":"h","uri":"/a","headers":{"User-Agent":["curl"]}},"size":512,"status":401}"#;
        for text in [nginx, nginx_msec, apache, caddy] {
            check(text, [Some("192.0.2.1"), Some("GET"), Some("/a"), Some("curl")], Some(401), Some(512));
        }
    }

    #[test]
    fn refuses_what_is_no_request_or_has_a_bad_time() {
        for text in
            [r#"{"remote_addr":"192.0.2.1"}"#, r#"{"remote_addr":"192.0.2.1","status":200,"time":"soon"}"#, "{\"a\":1}"]
        {
            assert!(read(text.as_bytes(), 0, &AT_NOON, &mut Vec::new()).is_err(), "{text}");
        }
    }
}
