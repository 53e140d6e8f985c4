//! Decisions as JSON, and JSON as what somebody wants to be decided.

use std::time::Duration;

use model::decision::{
    Basis, Decision, LASTS_MAX, Measure, Origin, Proposal, REASON_BYTES_MAX, Spared, Standing, Target,
};
use model::network::Network;
use model::time::Timestamp;
use serde_json::{Map, Value, json};
use web::answer::Fault;

/// How long a decision by hand lasts when nothing is said.
const LASTS: Duration = Duration::from_secs(4 * 3600);
/// The fields of a decision by hand.
const FIELDS: [&str; 7] = ["ip", "range", "user", "type", "for", "reason", "origin"];

/// A decision as it is at `now`, as the routes answer it.
#[must_use]
pub fn decision_json(decision: &Decision, now: Timestamp) -> Value {
    let basis = &decision.basis;
    let brake = match decision.standing {
        Standing::Held(brake) => Some(json!({"name": brake.as_str(), "reason": brake.explained()})),
        _ => None,
    };
    json!({
        "id": decision.id.0,
        "scope": decision.target.scope(),
        "value": decision.target.to_string(),
        "type": decision.measure.as_str(),
        "state": decision.state(now),
        "origin": decision.origin.as_str(),
        "reason": decision.reason,
        "created_at": decision.created_at.to_string(),
        "expires_at": decision.expires_at.to_string(),
        "actor": decision.actor,
        "brake": brake,
        "ended": decision.ended.as_ref().map(|it| json!({"at": it.at.to_string(), "actor": it.actor, "reason": it.reason})),
        "alert": basis.alert.map(|it| it.to_string()),
        "rule_id": Some(&basis.rule_id).filter(|it| !it.is_empty()),
        "rule_version": Some(&basis.rule_version).filter(|it| !it.is_empty()),
        "count": basis.count,
        "evidence": basis.events.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "user_agent": Some(&basis.user_agent).filter(|it| !it.is_empty()),
        "synthetic": decision.is_synthetic,
    })
}

/// Somebody who is never blocked.
pub(crate) fn spared_json(spared: &Spared) -> Value {
    let is_configured = spared.created_at == Timestamp::default();
    json!({
        "network": spared.network.to_string(),
        "reason": spared.reason,
        "actor": spared.actor,
        "created_at": (!is_configured).then(|| spared.created_at.to_string()),
    })
}

fn fault(field: &str, message: impl Into<String>) -> Fault {
    Fault { field: field.to_owned(), message: message.into() }
}

/// Reads what somebody wants: `{"ip":"203.0.113.7","type":"ban","for":"4h","reason":"..."}`.
pub(crate) fn proposal_of(fields: &Map<String, Value>, actor: &str) -> Result<Proposal, Vec<Fault>> {
    let mut faults = Vec::new();
    if let Some(name) = fields.keys().find(|it| !FIELDS.contains(&it.as_str())) {
        let name: String = name.chars().take(100).collect();
        faults.push(fault(&name, format!("is not known; there are {}", FIELDS.join(", "))));
    }
    let target = kept(target_of(fields), &mut faults);
    let measure = kept(word_of(fields, "type", "ban, throttle or captcha", Measure::from_word), &mut faults);
    let origin = kept(
        word_of(fields, "origin", "manual or import", |it| {
            Origin::from_word(it).filter(|it| matches!(it, Origin::Manual | Origin::Import))
        }),
        &mut faults,
    );
    let reason = kept(reason_of(fields, true), &mut faults);
    let lasts = kept(lasts_of(fields), &mut faults);
    match (target, reason) {
        (Some(target), Some(reason)) if faults.is_empty() => Ok(Proposal {
            target,
            measure: measure.flatten().unwrap_or(Measure::Ban),
            origin: origin.flatten().unwrap_or(Origin::Manual),
            reason,
            basis: Basis::default(),
            lasts: lasts.flatten().unwrap_or(LASTS),
            actor: actor.to_owned(),
            is_spoofable: false,
            is_synthetic: false,
        }),
        _ => Err(faults),
    }
}

/// The value that was read; a fault goes to the others.
fn kept<T>(read: Result<T, Fault>, faults: &mut Vec<Fault>) -> Option<T> {
    read.map_err(|it| faults.push(it)).ok()
}

/// Reads whom it is about: one of `ip`, `range` and `user`.
pub(crate) fn target_of(fields: &Map<String, Value>) -> Result<Target, Fault> {
    let scopes = ["ip", "range", "user"];
    let mut given = scopes.iter().filter_map(|it| Some((*it, fields.get(*it).filter(|it| !it.is_null())?)));
    let (Some((scope, value)), None) = (given.next(), given.next()) else {
        return Err(fault("ip", "one of `ip`, `range` and `user` must be given, and only one"));
    };
    let text = value.as_str().unwrap_or_default();
    target(scope, text).map_err(|it| fault(scope, it))
}

/// Reads whom it is about, as people spell it.
pub(crate) fn target(scope: &str, text: &str) -> Result<Target, String> {
    let found = match scope {
        "ip" => model::entity::parse_ip(text).map(|it| Target::Network(Network::of(it))),
        _ => Target::read(scope, text),
    };
    found.ok_or_else(|| match scope {
        "ip" => "must be an address, as 203.0.113.7 or 2001:db8::7".to_owned(),
        "range" => "must be a range, as 203.0.113.0/24 or 2001:db8::/48, with no bits behind its prefix".to_owned(),
        _ => "must be a name of at most 256 bytes".to_owned(),
    })
}

fn word_of<T>(
    fields: &Map<String, Value>,
    name: &str,
    words: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Fault> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().and_then(read).map(Some).ok_or_else(|| fault(name, format!("must be {words}"))),
    }
}

/// Reads `for`: `90s`, `15m`, `4h`, `14d`.
fn lasts_of(fields: &Map<String, Value>) -> Result<Option<Duration>, Fault> {
    let wanted = || fault("for", "must be a time from 1s to 3650d, as 90s, 15m, 4h or 14d");
    match fields.get("for") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().and_then(duration).map(Some).ok_or_else(wanted),
    }
}

/// Reads a time of at least a second that a decision may last.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|it: char| it.is_ascii_digit()).len();
    let seconds = match &text[digits..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = text[..digits].parse::<u64>().ok()?.checked_mul(seconds)?;
    Some(Duration::from_secs(seconds)).filter(|it| 1 <= seconds && *it <= LASTS_MAX)
}

/// Reads a reason; an empty one will do unless `is_needed`.
pub(crate) fn reason_of(fields: &Map<String, Value>, is_needed: bool) -> Result<String, Fault> {
    let text = match fields.get("reason") {
        None | Some(Value::Null) => "",
        Some(value) => value.as_str().ok_or_else(|| fault("reason", "must be a text"))?.trim(),
    };
    if text.is_empty() && is_needed {
        return Err(fault("reason", "is missing: say why, in a sentence"));
    }
    if REASON_BYTES_MAX < text.len() {
        return Err(fault("reason", format!("is longer than {REASON_BYTES_MAX} bytes")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let Value::Object(fields) = serde_json::from_str(text).unwrap() else { panic!("{text}") };
        let read = proposal_of(&fields, "anna");
        let shown = read.map(|it| format!("{} {} {}s", it.measure.as_str(), it.target, it.lasts.as_secs()));
        let shown = shown.map_err(|it| it.into_iter().map(|it| it.field).collect::<Vec<_>>().join(","));
        assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn reads_what_somebody_wants() {
        check(r#"{"ip":"203.0.113.7","reason":"x"}"#, Ok("ban 203.0.113.7 14400s"));
        check(r#"{"ip":"::ffff:203.0.113.7","for":"90s","reason":"x"}"#, Ok("ban 203.0.113.7 90s"));
        check(
            r#"{"range":"2001:db8::/48","type":"captcha","for":"14d","reason":"x"}"#,
            Ok("captcha 2001:db8::/48 1209600s"),
        );
        check(r#"{"user":"anna","type":"throttle","reason":"x"}"#, Ok("throttle anna 14400s"));
    }

    #[test]
    fn a_complaint_names_each_field() {
        check("{}", Err("ip,reason"));
        check(r#"{"ip":"203.0.113.7/24","reason":" "}"#, Err("ip,reason"));
        check(r#"{"ip":"203.0.113.7","range":"203.0.113.0/24","reason":"x"}"#, Err("ip"));
        check(r#"{"range":"203.0.113.7/24","reason":"x"}"#, Err("range"));
        check(r#"{"ip":"203.0.113.7","type":"kill","for":"0s","reason":"x"}"#, Err("type,for"));
        check(r#"{"ip":"203.0.113.7","for":"99999d","reason":"x"}"#, Err("for"));
        check(r#"{"ip":"203.0.113.7","origin":"rule","reason":"x","colour":1}"#, Err("colour,origin"));
    }
}
