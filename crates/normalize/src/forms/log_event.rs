//! The log event: `source` and `message`, with what an application knows beside.
//!
//! `timestamp` (ISO, without a zone UTC, or an epoch number), `source` and `message` are required; `ip`,
//! `user` and `severity` are texts or `null`. An `ip` that is no address is kept in the original only. The
//! severity is what the source wrote; it is mapped to nothing.
//! Log source: category `application`, not complete: which product speaks, it does not say.

use model::entity::parse_ip;
use model::event::{Original, TextField};

use crate::draft::Draft;
use crate::forms::{Complaints, pick, set_if_text};
use crate::member::Member;
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::Refusal;

const NAMES: [&str; 8] = ["timestamp", "source", "message", "ip", "user", "severity", "id", "host"];

/// Reads a log event and writes its event at the end of `out`.
pub(super) fn read(
    object: Object<'_>,
    place: u64,
    reading: &Reading<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Vec<Refusal>> {
    let [timestamp, source, message, ip, user, severity, id, host] = pick(object, NAMES);
    let mut complaints = Complaints::default();
    let mut draft = Draft::new("log-event", Original::Json(object.text()));
    draft.time = complaints.required("timestamp", timestamp.as_ref(), Member::lenient_time);
    draft.set_option(TextField::Source, complaints.required("source", source.as_ref(), Member::text));
    draft.set_option(TextField::Message, complaints.required("message", message.as_ref(), Member::text));
    draft.set_option(TextField::User, complaints.optional(user.as_ref(), Member::text));
    draft.set_option(TextField::SourceSeverity, complaints.optional(severity.as_ref(), Member::text));
    draft.client_ip = complaints.optional(ip.as_ref(), Member::text).and_then(|it| parse_ip(&it));
    complaints.end()?;
    draft.own_id = id.as_ref().and_then(Member::as_id);
    set_if_text(&mut draft, TextField::Host, host.as_ref());
    draft.set(TextField::Category, "application");
    draft.write(reading, place, out);
    Ok(())
}
