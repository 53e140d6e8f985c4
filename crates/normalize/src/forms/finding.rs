//! What findings of all tools have in common, and the `finding` of our own event.
//!
//! An own event is a finding when it has an object `finding`: `rule` (required), `id`, `title`, `severity`
//! (one of our five words) and `type`. With an `id` it becomes an alert of its own; without, it is coalesced.

use std::borrow::Cow;

use model::event::TextField;
use model::json::Value;
use model::severity::Severity;

use crate::draft::Draft;
use crate::forms::{Complaints, pick};
use crate::member::Member;
use crate::object::Object;
use crate::refusal::Refusal;

/// The category of findings that name no log source: it contradicts `webserver`, so that none is counted as a request.
pub(crate) const CATEGORY: &str = "finding";

const NO_SEVERITY: &str = "which is none of informational, low, medium, high and critical";

/// Returns the rank of a severity as the event keeps it.
pub(crate) const fn rank_text(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "0",
        Severity::Low => "1",
        Severity::Medium => "2",
        Severity::High => "3",
        Severity::Critical => "4",
    }
}

/// Reads the member `finding` of an own event.
pub(super) fn read<'a>(member: &Member<'a>, draft: &mut Draft<'a>, complaints: &mut Complaints) {
    let Value::Object(text) = member.value() else {
        complaints.push(member.refuse("which is no finding; give an object with at least `rule`"));
        return;
    };
    let inside = pick(Object::inside(text), ["rule", "id", "title", "severity", "type"]);
    let [rule, id, title, severity, kind] = inside.map(|it| it.map(within));
    draft.set_option(TextField::FindingRule, complaints.required("finding.rule", rule.as_ref(), not_empty));
    draft.set_option(TextField::FindingTitle, complaints.optional(title.as_ref(), Member::scalar));
    draft.set_option(TextField::FindingKind, complaints.optional(kind.as_ref(), Member::scalar));
    let severity = complaints.optional(severity.as_ref(), severity_of);
    draft.set_option(TextField::FindingSeverity, severity.map(|it| Cow::Borrowed(rank_text(it))));
    let id = complaints.optional(id.as_ref(), Member::scalar).filter(|it| !it.is_empty());
    if draft.own_id.is_none() {
        draft.own_id.clone_from(&id);
    }
    draft.set_option(TextField::FindingId, id);
}

fn within(member: Member<'_>) -> Member<'_> {
    Member::new(format!("finding.{}", member.name), member.raw)
}

fn not_empty<'a>(member: &Member<'a>) -> Result<Cow<'a, str>, Refusal> {
    member.scalar().and_then(|it| if it.is_empty() { Err(member.refuse("which is empty")) } else { Ok(it) })
}

fn severity_of(member: &Member<'_>) -> Result<Severity, Refusal> {
    member.as_text().and_then(|it| Severity::from_word(&it)).ok_or_else(|| member.refuse(NO_SEVERITY))
}
