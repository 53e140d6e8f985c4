//! `POST /logs`: one request of a web application.
//!
//! `timestamp` (RFC 3339), `client_ip`, `endpoint`, `method` and `status_code` (a whole number) are all
//! required and strictly typed. Other keys are kept; `id`, `source`, `user`, `host`, `user_agent` and
//! `referer` are read where they are texts.
//! Log source: category `webserver`, complete.

use model::event::{Original, TextField};

use crate::draft::Draft;
use crate::forms::{Complaints, pick, set_if_text};
use crate::member::Member;
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::Refusal;

const NAMES: [&str; 11] = [
    "timestamp",
    "client_ip",
    "endpoint",
    "method",
    "status_code",
    "id",
    "source",
    "user",
    "host",
    "user_agent",
    "referer",
];

/// Reads one access log and writes its event at the end of `out`.
///
/// # Errors
///
/// Returns every refusal that was found; `out` is then as it was.
pub fn read(bytes: &[u8], place: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<(), Vec<Refusal>> {
    let object = Object::parse(bytes).map_err(|it| vec![it])?;
    let [timestamp, client_ip, endpoint, method, status_code, id, source, user, host, user_agent, referer] =
        pick(object, NAMES);
    let mut complaints = Complaints::default();
    let mut draft = Draft::new("access-log", Original::Json(object.text()));
    draft.time = complaints.required("timestamp", timestamp.as_ref(), Member::rfc3339);
    draft.client_ip = complaints.required("client_ip", client_ip.as_ref(), Member::address);
    draft.status_code = complaints.required("status_code", status_code.as_ref(), Member::status_number);
    draft.set_option(TextField::Path, complaints.required("endpoint", endpoint.as_ref(), Member::text));
    draft.set_option(TextField::Method, complaints.required("method", method.as_ref(), Member::text));
    complaints.end()?;
    draft.own_id = id.as_ref().and_then(Member::as_id);
    set_if_text(&mut draft, TextField::Source, source.as_ref());
    set_if_text(&mut draft, TextField::User, user.as_ref());
    set_if_text(&mut draft, TextField::Host, host.as_ref());
    set_if_text(&mut draft, TextField::UserAgent, user_agent.as_ref());
    set_if_text(&mut draft, TextField::Referer, referer.as_ref());
    draft.set(TextField::Category, "webserver");
    draft.is_complete = true;
    draft.write(reading, place, out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventView};
    use proptest::prelude::*;

    use super::*;
    use crate::reading::tests::AT_NOON;

    const GOOD: &str = r#"{"timestamp":"2026-11-20T13:59:59.5+02:00","client_ip":"2001:DB8::0:A1","endpoint":"/a?b=\u0063",
        "method":"GET","status_code":401,"shoe_size":43,"id":"n-1"}"#;

    /// The good log with the value of one key replaced, or the key taken out.
    fn with(name: &str, value: Option<&str>) -> String {
        let fields = [
            ("timestamp", "\"2026-11-20T13:00:00Z\""),
            ("client_ip", "\"192.0.2.1\""),
            ("endpoint", "\"/\""),
            ("method", "\"GET\""),
            ("status_code", "200"),
        ];
        let kept = fields.iter().filter(|(key, _)| *key != name).map(|(key, value)| format!("\"{key}\":{value}"));
        let replaced = value.map(|it| format!("\"{name}\":{it}"));
        format!("{{{}}}", kept.chain(replaced).collect::<Vec<_>>().join(","))
    }

    #[track_caller]
    fn check_refused(body: &str, field: &str, code: &str) {
        let mut out = vec![7];
        let refusals = read(body.as_bytes(), 0, &AT_NOON, &mut out).expect_err(body);
        let actual: Vec<_> = refusals.iter().map(|it| (it.field.as_deref(), it.code.as_str())).collect();
        assert_eq!(actual, [(Some(field), code)], "{body}");
        assert!(refusals[0].message.contains(field), "{}", refusals[0].message);
        assert_eq!(out, [7], "the output is as it was");
    }

    #[test]
    fn reads_every_field() {
        let mut out = Vec::new();
        read(GOOD.as_bytes(), 0, &AT_NOON, &mut out).unwrap();
        let view = EventView::of(&out).unwrap();
        assert_eq!(view.time.to_string(), "2026-11-20T11:59:59.500Z");
        assert_eq!(view.client_ip.unwrap().to_string(), "2001:db8::a1");
        assert_eq!((view.text(TextField::Path), view.text(TextField::Method)), (Some("/a?b=c"), Some("GET")));
        assert_eq!((view.status_code, view.text(TextField::Source)), (Some(401), Some("door")));
        assert_eq!(view.text(TextField::Category), Some("webserver"));
        assert!(view.flags.has(EventFlags::LOGSOURCE_COMPLETE) && view.flags.has(EventFlags::REPEATABLE));
        assert_eq!(view.original, Original::Json(GOOD));
    }

    #[test]
    fn names_a_bad_field() {
        let bad = [
            (
                "timestamp",
                "\"yesterday\" \"2026-13-01T00:00:00Z\" \"2026-01-01\" \"2016-12-31T23:59:61Z\" \"\" [] {} true 17",
            ),
            ("client_ip", "\"256.1.1.1\" \"1.2.3\" \"::gg\" \"localhost\" \"\" [] {} 16909060 true"),
            ("status_code", "0 99 600 -401 1e30 401.5 [] {} true \"abc\" \"200\" 1e400 18446744073709551616"),
            ("method", "[] {} 7 true"),
            ("endpoint", "[] {} 7 true"),
        ];
        for (name, values) in bad {
            for value in values.split(' ') {
                check_refused(&with(name, Some(value)), name, "bad_field");
            }
            check_refused(&with(name, Some("null")), name, "missing_field");
            check_refused(&with(name, None), name, "missing_field");
        }
    }

    #[test]
    fn names_every_bad_field_at_once() {
        let refusals = read(br#"{"method":7,"status_code":200}"#, 0, &AT_NOON, &mut Vec::new()).unwrap_err();
        let fields: Vec<_> = refusals.iter().filter_map(|it| it.field.as_deref()).collect();
        assert_eq!(fields, ["timestamp", "client_ip", "endpoint", "method"]);
    }

    #[test]
    fn the_last_of_a_repeated_key_wins() {
        let mut out = Vec::new();
        let body = with("status_code", Some("\"bad\",\"status_code\":204"));
        read(body.as_bytes(), 0, &AT_NOON, &mut out).unwrap();
        assert_eq!(EventView::of(&out).unwrap().status_code, Some(204));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(value in r#"[\{\}\[\]"\\,:a1u.\-T ]{0,20}"#) {
            let _ = read(with("timestamp", Some(&value)).as_bytes(), 0, &AT_NOON, &mut Vec::new());
            let _ = read(value.as_bytes(), 0, &AT_NOON, &mut Vec::new());
        }
    }
}
