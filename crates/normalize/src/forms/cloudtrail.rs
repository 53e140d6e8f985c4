//! One record of AWS CloudTrail.
//!
//! The time is `eventTime`, else the `@timestamp` of a collector, else receipt.
//! Known by `eventVersion`, `eventSource` and `eventName`. The id is `eventID` with `recipientAccountId`.
//! The client is `sourceIPAddress` where that is an address; a name such as `cloudformation.amazonaws.com` or
//! `AWS Internal` is nobody's address and becomes none. The user is the best of the identity's `userName`,
//! the name of its session's issuer, its `arn` and its `type`. Everything else is reached by its own dotted name.
//! Log source: product `aws`, service `cloudtrail`, complete.
//!
//! Source: AWS CloudTrail User Guide, "CloudTrail record contents".

use std::borrow::Cow;

use model::entity::parse_ip;
use model::event::{Original, TextField};
use model::json::{self, Value};

use crate::draft::Draft;
use crate::forms::{Complaints, pick};
use crate::member::Member;
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::Refusal;

const NAMES: [&str; 10] = [
    "eventVersion",
    "eventSource",
    "eventName",
    "eventTime",
    "sourceIPAddress",
    "userIdentity",
    "userAgent",
    "eventID",
    "recipientAccountId",
    "@timestamp",
];

/// Reads a record and writes its event at the end of `out`.
pub(crate) fn read(
    object: Object<'_>,
    place: u64,
    reading: &Reading<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Vec<Refusal>> {
    let [version, source, name, time, address, identity, user_agent, id, account, collected] = pick(object, NAMES);
    let mut complaints = Complaints::default();
    let mut draft = Draft::new("cloudtrail", Original::Json(object.text()));
    complaints.required("eventVersion", version.as_ref(), Member::scalar);
    complaints.required("eventSource", source.as_ref(), Member::text);
    complaints.required("eventName", name.as_ref(), Member::text);
    draft.time = complaints.optional(time.as_ref().or(collected.as_ref()), Member::time);
    complaints.end()?;
    draft.client_ip = address.and_then(|it| it.as_text()).and_then(|it| parse_ip(&it));
    draft.set_option(TextField::User, identity.and_then(|it| user_of(it.raw)));
    draft.set_option(TextField::UserAgent, user_agent.and_then(|it| it.as_text()));
    draft.own_id = id.and_then(|it| it.as_id()).map(|it| own_id(&it, account.as_ref()));
    draft.set(TextField::Product, "aws");
    draft.set(TextField::Service, "cloudtrail");
    draft.is_complete = true;
    draft.write(reading, place, out);
    Ok(())
}

fn own_id<'a>(id: &str, account: Option<&Member<'_>>) -> Cow<'a, str> {
    let account = account.and_then(Member::as_id).unwrap_or_default();
    Cow::Owned(format!("{id}@{account}"))
}

/// Returns the best name of the principal that `identity`, the text of an object, describes.
fn user_of(identity: &str) -> Option<Cow<'_, str>> {
    let issuer = || match json::member(identity, "sessionContext") {
        Some(Value::Object(session)) => match json::member(session, "sessionIssuer") {
            Some(Value::Object(issuer)) => text_of(issuer, "userName"),
            _ => None,
        },
        _ => None,
    };
    text_of(identity, "userName")
        .or_else(issuer)
        .or_else(|| text_of(identity, "arn"))
        .or_else(|| text_of(identity, "type"))
}

fn text_of<'a>(object: &'a str, name: &str) -> Option<Cow<'a, str>> {
    match json::member(object, name) {
        Some(Value::Text(text)) => Some(text.decode()).filter(|it| !it.is_empty()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventView};
    use model::id::EventId;

    use super::*;
    use crate::reading::tests::AT_NOON;

    fn record(identity: &str, address: &str) -> String {
        format!(
            r#"{{"eventVersion":"1.08","userIdentity":{identity},"eventTime":"2023-07-10T11:42:36Z","eventSource":
            "s3.amazonaws.com","eventName":"StopLogging","sourceIPAddress":"{address}","userAgent":"aws-cli","eventID":"e-1",
            "recipientAccountId":"1234"}}"#
        )
    }

    #[track_caller]
    fn check(identity: &str, address: &str, user: Option<&str>, client: Option<&str>) {
        let text = record(identity, address);
        let mut out = Vec::new();
        read(Object::parse(text.as_bytes()).unwrap(), 0, &AT_NOON, &mut out).unwrap();
        let view = EventView::of(&out).unwrap();
        assert_eq!(view.text(TextField::User), user, "{identity}");
        assert_eq!(view.client_ip.map(|it| it.to_string()).as_deref(), client, "{address}");
        assert_eq!(view.id, EventId::of_source("door", "door", "e-1@1234"));
        assert!(view.flags.has(EventFlags::LOGSOURCE_COMPLETE));
        assert_eq!(view.time.to_string(), "2023-07-10T11:42:36Z");
    }

    #[test]
    fn names_the_principal_as_well_as_it_can() {
        let root = r#"{"type":"Root","arn":"arn:aws:iam::1:root","sessionContext":{"sessionIssuer":{}}}"#;
        let role = r#"{"type":"AssumedRole","arn":"a","sessionContext":{"sessionIssuer":{"userName":"admin-role"}}}"#;
        check(r#"{"type":"IAMUser","userName":"ann","arn":"a"}"#, "192.0.2.1", Some("ann"), Some("192.0.2.1"));
        check(role, "192.0.2.1", Some("admin-role"), Some("192.0.2.1"));
        check(root, "192.0.2.1", Some("arn:aws:iam::1:root"), Some("192.0.2.1"));
        check(r#"{"type":"AWSService"}"#, "192.0.2.1", Some("AWSService"), Some("192.0.2.1"));
        check("null", "192.0.2.1", None, Some("192.0.2.1"));
    }

    #[test]
    fn a_service_is_nobody_s_address() {
        for address in ["cloudformation.amazonaws.com", "AWS Internal", ""] {
            check("{\"userName\":\"ann\"}", address, Some("ann"), None);
        }
        check("{\"userName\":\"ann\"}", "2001:DB8::1", Some("ann"), Some("2001:db8::1"));
    }

    #[test]
    fn the_time_falls_back_to_the_collector_and_to_receipt() {
        for (time, expected) in [
            (r#""@timestamp":"2023-07-10T11:42:36Z""#, Some("2023-07-10T11:42:36Z")),
            (r#""@timestamp":"soon","eventTime":"2023-07-10T11:42:37Z""#, Some("2023-07-10T11:42:37Z")),
            (r#""x":1"#, Some("2026-11-20T12:00:00Z")),
            (r#""eventTime":"soon""#, None),
        ] {
            let text = format!(r#"{{"eventVersion":"1","eventSource":"s","eventName":"n",{time}}}"#);
            let mut out = Vec::new();
            let read = read(Object::parse(text.as_bytes()).unwrap(), 0, &AT_NOON, &mut out);
            let actual = read.ok().and_then(|()| EventView::of(&out)).map(|it| it.time.to_string());
            assert_eq!(actual.as_deref(), expected, "{time}");
        }
    }
}
