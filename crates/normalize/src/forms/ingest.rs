//! `POST /ingest`: four bodies, told apart by their keys.
//!
//! In this order: `RequestID`, `EventID` or `RoleID` is there: a cloud event; else
//! `ServiceName` or `serviceName`: the finding `AnormalEvent`; else `source` or `message`: a log event;
//! else none. It is the key that counts, even where its value is `null`.

use crate::forms::{anormal, cloud_event, log_event};
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::{Code, Refusal};

/// Which form a body has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestForm {
    /// A cloud event.
    Cloud,
    /// A finding of another detector.
    Anormal,
    /// A log event of an application.
    Log,
}

/// Why a body was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not taken as an event ({} complaints)", refusals.len())]
pub struct IngestRefusal {
    /// The form that it has; `None` when it is no object, or has none of the keys.
    pub form: Option<IngestForm>,
    /// What is wrong; at least one.
    pub refusals: Vec<Refusal>,
}

/// Reads one body and writes its event at the end of `out`; returns which form it has.
///
/// # Errors
///
/// Returns the form, if there is one, and every refusal that was found; `out` is then as it was.
pub fn read(bytes: &[u8], place: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<IngestForm, IngestRefusal> {
    let object = Object::parse(bytes).map_err(|it| match it.code {
        Code::Empty => unknown_form(),
        _ => IngestRefusal { form: None, refusals: vec![it] },
    })?;
    let form = form_of(object).ok_or_else(unknown_form)?;
    let read = match form {
        IngestForm::Cloud => cloud_event::read,
        IngestForm::Anormal => anormal::read,
        IngestForm::Log => log_event::read,
    };
    read(object, place, reading, out).map(|()| form).map_err(|refusals| IngestRefusal { form: Some(form), refusals })
}

fn form_of(object: Object<'_>) -> Option<IngestForm> {
    let forms = object.members().filter_map(|it| match &*it.name {
        "RequestID" | "EventID" | "RoleID" => Some((0, IngestForm::Cloud)),
        "ServiceName" | "serviceName" => Some((1, IngestForm::Anormal)),
        "source" | "message" => Some((2, IngestForm::Log)),
        _ => None,
    });
    forms.min_by_key(|(rank, _)| *rank).map(|(_, form)| form)
}

fn unknown_form() -> IngestRefusal {
    let message = "no form of event that this route knows: a cloud event has `RequestID`, `EventID` and `RoleID`, \
                   an AnormalEvent `ServiceName`, a log event `timestamp`, `source` and `message`";
    IngestRefusal { form: None, refusals: vec![Refusal::record(Code::UnknownForm, message)] }
}

#[cfg(test)]
mod tests {
    use model::event::{EventView, TextField};
    use proptest::prelude::*;

    use super::*;
    use crate::reading::tests::AT_NOON;

    const LOG: &str = r#""timestamp":"2026-11-20T20:14:38Z","source":"auth","message":"hello""#;

    #[track_caller]
    fn check(body: &str, expected: Result<IngestForm, (Option<IngestForm>, &[&str])>) {
        let mut out = vec![7];
        let actual = read(body.as_bytes(), 0, &AT_NOON, &mut out);
        match (&actual, expected) {
            (Ok(form), Ok(expected)) => assert_eq!(*form, expected, "{body}"),
            (Err(refusal), Err((form, fields))) => {
                let found: Vec<_> = refusal.refusals.iter().map(|it| it.field.as_deref().unwrap_or("-")).collect();
                assert_eq!((refusal.form, found.as_slice()), (form, fields), "{body}");
                assert_eq!(out, [7]);
            }
            _ => panic!("{body}: {actual:?}"),
        }
    }

    #[test]
    fn tells_the_bodies_apart_in_order() {
        check(&format!("{{{LOG}}}"), Ok(IngestForm::Log));
        for key in ["RequestID", "EventID", "RoleID"] {
            let body = format!(r#"{{{LOG},"ServiceName":"g","{key}":"x"}}"#);
            let refusal = read(body.as_bytes(), 0, &AT_NOON, &mut Vec::new()).unwrap_err();
            assert_eq!((refusal.form, refusal.refusals.len()), (Some(IngestForm::Cloud), 5));
        }
        check(
            r#"{"ServiceName":"g","source":"s"}"#,
            Err((Some(IngestForm::Anormal), &["Ip", "EventType", "Severity", "Description", "OccurredAt"])),
        );
        check(r#"{"source":"s"}"#, Err((Some(IngestForm::Log), &["timestamp", "message"])));
        check(r#"{"hello":"world"}"#, Err((None, &["-"])));
        check("{}", Err((None, &["-"])));
        check("[]", Err((None, &["-"])));
        check("{", Err((None, &["-"])));
    }

    #[test]
    fn an_unknown_body_hears_of_every_form() {
        let refusal = read(b"{}", 0, &AT_NOON, &mut Vec::new()).unwrap_err();
        let [only] = refusal.refusals.as_slice() else { panic!("{refusal:?}") };
        assert_eq!(only.code, Code::UnknownForm);
        for name in ["source", "EventID", "ServiceName"] {
            assert!(only.message.contains(name), "{}", only.message);
        }
    }

    #[test]
    fn a_log_event_is_typed() {
        let with = |name: &str, value: &str| format!(r#"{{{LOG},"{name}":{value}}}"#);
        for value in
            ["1700000000", "1700000000.5", "1700000000123", "\"2026-11-20T20:14:38\"", "\"2026-11-20 20:14:38+01:00\""]
        {
            check(&with("timestamp", value), Ok(IngestForm::Log));
        }
        for (name, values) in [
            ("timestamp", "\"soon\" [] {} true null 1e400"),
            ("message", "[] {} 5 null"),
            ("source", "[] {} 5 null"),
            ("user", "[] {} 5"),
            ("ip", "[] 5"),
            ("severity", "[] 5"),
        ] {
            for value in values.split(' ') {
                check(&with(name, value), Err((Some(IngestForm::Log), &[name])));
            }
        }
        check(&format!(r#"{{{LOG},"user":null,"severity":null,"ip":null}}"#), Ok(IngestForm::Log));
    }

    #[test]
    fn an_ip_that_is_none_is_kept_and_not_read() {
        for (ip, expected) in [("unknown", None), ("192.0.2.1", Some("192.0.2.1"))] {
            let mut out = Vec::new();
            read(format!(r#"{{{LOG},"ip":"{ip}","user":"ann"}}"#).as_bytes(), 0, &AT_NOON, &mut out).unwrap();
            let view = EventView::of(&out).unwrap();
            assert_eq!(view.client_ip.map(|it| it.to_string()).as_deref(), expected);
            assert_eq!((view.text(TextField::Source), view.text(TextField::User)), (Some("auth"), Some("ann")));
            assert_eq!(view.text(TextField::Category), Some("application"));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(key in "(EventID|ServiceName|source|x)", value in r#"[\{\}\[\]"\\,:a1u.\- ]{0,16}"#) {
            let _ = read(format!("{{\"{key}\":{value}}}").as_bytes(), 0, &AT_NOON, &mut Vec::new());
        }
    }
}
