//! The cloud event: who did what to which resource, in six fields.
//!
//! `RequestID`, `EventID`, `RoleID`, `EventType`, `EventTimestamp` and `AffectedAssets` are all required.
//! The first four are texts or numbers, the `EventID` not empty; the time is RFC 3339 or one of the spellings
//! of a database; the assets are a list of texts, one text, or `null`. The assets stay in the original, so
//! that no joining can change them.
//! The user is the `RoleID`. The `EventID` is the id. Log source: product `cloud`, service `events`, complete:
//! it is no CloudTrail, whose rules ask for product `aws`.

use model::event::{Original, TextField};
use model::json::{self, Value};

use crate::draft::Draft;
use crate::forms::{Complaints, pick};
use crate::member::Member;
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::Refusal;

/// The six keys.
pub(super) const NAMES: [&str; 6] = ["RequestID", "EventID", "RoleID", "EventType", "EventTimestamp", "AffectedAssets"];

/// Reads a cloud event and writes its event at the end of `out`.
pub(super) fn read(
    object: Object<'_>,
    place: u64,
    reading: &Reading<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Vec<Refusal>> {
    let [request, id, role, kind, timestamp, assets] = pick(object, NAMES);
    let mut complaints = Complaints::default();
    let mut draft = Draft::new("cloud-event", Original::Json(object.text()));
    complaints.required("RequestID", request.as_ref(), Member::scalar);
    draft.own_id = complaints.required("EventID", id.as_ref(), |it| {
        it.as_id().ok_or_else(|| it.refuse("which is no id; give a string that is not empty, or a number"))
    });
    draft.set_option(TextField::User, complaints.required("RoleID", role.as_ref(), Member::scalar));
    complaints.required("EventType", kind.as_ref(), Member::scalar);
    draft.time = complaints.required("EventTimestamp", timestamp.as_ref(), Member::lenient_time);
    match &assets {
        None => complaints.push(Refusal::missing("AffectedAssets")),
        Some(it) if !are_assets(it) => complaints.push(it.refuse("which is no list of texts")),
        Some(_) => {}
    }
    complaints.end()?;
    draft.set(TextField::Product, "cloud");
    draft.set(TextField::Service, "events");
    draft.is_complete = true;
    draft.write(reading, place, out);
    Ok(())
}

fn are_assets(member: &Member<'_>) -> bool {
    match member.value() {
        Value::Null | Value::Text(_) => true,
        Value::Array(list) => json::elements(list).all(|it| matches!(Value::of(it), Some(Value::Text(_)))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventView};
    use model::id::EventId;

    use super::*;
    use crate::reading::tests::AT_NOON;

    const ASSETS: &str = r#"["a,b","NULL","with \"quotes\"","it's","{curly}","back\\slash","","ünï"]"#;

    /// A good event with the value of one key replaced, or the key taken out.
    fn with(name: &str, value: Option<&str>) -> String {
        let fields = [
            ("RequestID", "\"r-1\""),
            ("EventID", "\"e-1\""),
            ("RoleID", "\"role-1\""),
            ("EventType", "\"ConsoleLogin\""),
            ("EventTimestamp", "\"2026-11-20T20:14:38Z\""),
            ("AffectedAssets", ASSETS),
        ];
        let kept = fields.iter().filter(|(key, _)| *key != name).map(|(key, value)| format!("\"{key}\":{value}"));
        let replaced = value.map(|it| format!("\"{name}\":{it}"));
        format!("{{{}}}", kept.chain(replaced).collect::<Vec<_>>().join(","))
    }

    fn read_text(text: &str) -> Result<Vec<u8>, Vec<Refusal>> {
        let mut out = Vec::new();
        let object = Object::parse(text.as_bytes()).unwrap();
        read(object, 0, &AT_NOON, &mut out).map(|()| out)
    }

    #[test]
    fn reads_an_event_and_keeps_its_assets() {
        let text = with("none", None);
        let out = read_text(&text).unwrap();
        let view = EventView::of(&out).unwrap();
        assert_eq!(view.id, EventId::of_source("door", "door", "e-1"));
        assert!(view.flags.has(EventFlags::REPEATABLE) && view.flags.has(EventFlags::LOGSOURCE_COMPLETE));
        assert_eq!(
            (view.text(TextField::User), view.time.to_string().as_str()),
            (Some("role-1"), "2026-11-20T20:14:38Z")
        );
        assert_eq!(view.original, Original::Json(&text));
        assert!(text.contains(ASSETS));
    }

    #[test]
    fn reads_other_spellings() {
        for (name, values) in [
            ("EventTimestamp", &["\"2026-11-20 20:14:38+00\"", "\"2026-11-20T22:14:38.5+02:00\"", "1700000000"][..]),
            ("AffectedAssets", &["null", "[]", "\"one\""]),
            ("EventID", &["17"]),
            ("RequestID", &["17"]),
        ] {
            for value in values {
                assert!(read_text(&with(name, Some(value))).is_ok(), "{name} {value}");
            }
        }
    }

    #[test]
    fn names_what_is_missing_or_bad() {
        let bad = [
            ("RequestID", "[] {} null"),
            ("EventID", "[] {} \"\" null"),
            ("RoleID", "[] {} null"),
            ("EventType", "[] {} null"),
            ("EventTimestamp", "\"never\" [] {} null true"),
            ("AffectedAssets", "5 {} [5] [null] [[]] true"),
        ];
        for (name, values) in bad {
            for value in values.split(' ').map(Some).chain([None]) {
                let refusals = read_text(&with(name, value)).expect_err(name);
                let fields: Vec<_> = refusals.iter().map(|it| it.field.as_deref()).collect();
                assert_eq!(fields, [Some(name)], "{value:?}");
            }
        }
    }
}
