//! Who is told of an alert. No clock, no store: what must not be repeated is said in the row and decided by the store.

use std::time::Duration;

use backends::store::alert_text;
use backends::store::outbox::{OutboxRow, Repeat, Subject};
use model::alert::Alert;
use model::decision::{Decision, Standing};
use model::id::digest128;
use model::severity::Severity;
use model::time::Timestamp;

use crate::message::{Kind, notice_of};

/// The largest first evidence that a message carries, in bytes; a larger one is left out.
const EVENT_BYTES_MAX: usize = 64 << 10;

/// Which alerts a destination is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destination.
    pub destination: String,
    /// How bad an alert must be at least.
    pub severity_min: Severity,
    /// Rules it is told of; all when there are none. A `*` at the end stands for any rest.
    pub include: Vec<String>,
    /// Rules it is not told of.
    pub exclude: Vec<String>,
    /// How long one message about a rule and an entity is enough; zero: never.
    pub repeat: Duration,
    /// Whether it is told that an alert was closed, or a decision ended.
    pub tells_closed: bool,
    /// Whether it is told of alerts of demo data.
    pub has_synthetic: bool,
    /// Whether it is told of decisions.
    pub tells_decisions: bool,
}

impl Route {
    /// Whether the destination is to be told of this alert.
    #[must_use]
    pub fn wants(&self, alert: &Alert) -> bool {
        let is_named =
            |patterns: &[String]| patterns.iter().any(|it| fits(it, &alert.rule_id) || fits(it, &alert.kind));
        self.severity_min <= alert.severity
            && (self.has_synthetic || !alert.synthetic)
            && (self.include.is_empty() || is_named(&self.include))
            && !is_named(&self.exclude)
    }

    fn row(&self, alert: &Alert, kind: Kind, payload: &str) -> OutboxRow {
        OutboxRow {
            subject: Subject::Alert(alert.id),
            destination: self.destination.clone(),
            kind: kind.as_str().to_owned(),
            occurrence: 0,
            repeat: None,
            payload: payload.to_owned(),
        }
    }
}

/// Returns the messages for an alert that is new.
#[must_use]
pub fn raised(routes: &[Route], alert: &Alert) -> Vec<OutboxRow> {
    let repeat = |it: &Route| (!it.repeat.is_zero()).then(|| Repeat { group: group_of(alert), interval: it.repeat });
    let rows = rows(routes.iter().filter(|it| it.wants(alert)), alert, Kind::Raised);
    rows.map(|(route, row)| OutboxRow { repeat: repeat(route), ..row }).collect()
}

/// Returns the messages for a decision that came into force, or was ended while it was; none for one that nobody enforces.
/// Of ends they are told who are told of closed alerts; what expires, expires without a message.
#[must_use]
pub fn decided(routes: &[Route], decision: &Decision) -> Vec<OutboxRow> {
    let is_too_late = decision.ended.as_ref().is_some_and(|it| decision.expires_at <= it.at);
    if decision.standing != Standing::InForce || decision.is_synthetic || is_too_late {
        return Vec::new();
    }
    let notice = notice_of(decision);
    let is_ended = decision.ended.is_some();
    let kind = if is_ended { Kind::Ended } else { Kind::Raised };
    let wanted = routes.iter().filter(|it| it.tells_decisions && (it.tells_closed || !is_ended));
    let rows = rows(wanted, &notice, kind);
    rows.map(|(_, row)| OutboxRow { subject: Subject::Decision(decision.id.0), ..row }).collect()
}

/// Returns the messages for an alert that somebody closed at `at`.
#[must_use]
pub fn closed(routes: &[Route], alert: &Alert, at: Timestamp) -> Vec<OutboxRow> {
    let wanted = routes.iter().filter(|it| it.tells_closed && it.wants(alert));
    let rows = rows(wanted, alert, Kind::Closed);
    // One that is opened and closed again is told again.
    rows.map(|(_, row)| OutboxRow { occurrence: at.nanos().cast_unsigned(), ..row }).collect()
}

fn rows<'a>(
    routes: impl Iterator<Item = &'a Route>,
    alert: &Alert,
    kind: Kind,
) -> impl Iterator<Item = (&'a Route, OutboxRow)> {
    let mut payload = None;
    routes.map(move |route| {
        let payload = payload.get_or_insert_with(|| payload_of(alert));
        (route, route.row(alert, kind, payload))
    })
}

fn payload_of(alert: &Alert) -> String {
    if alert.event.len() <= EVENT_BYTES_MAX {
        return alert_text::encode(alert);
    }
    alert_text::encode(&Alert { event: "{}".to_owned(), ..alert.clone() })
}

/// What counts as the same for a repetition: the rule and whom it is about.
fn group_of(alert: &Alert) -> u128 {
    let kind = alert.entity.kind.as_str();
    digest128(&[b"repeat", alert.rule_id.as_bytes(), kind.as_bytes(), alert.entity.value.as_bytes()])
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use model::decision::Ended;

    use super::*;
    use crate::channels::samples::alert;

    fn route() -> Route {
        Route {
            destination: "d".into(),
            severity_min: Severity::Medium,
            include: vec![],
            exclude: vec![],
            repeat: Duration::ZERO,
            tells_closed: false,
            has_synthetic: false,
            tells_decisions: false,
        }
    }

    #[track_caller]
    fn check(change: impl Fn(&mut Route), of: &Alert, expected: bool) {
        let mut route = route();
        change(&mut route);
        assert_eq!(raised(&[route], of).len() == 1, expected);
    }

    #[test]
    fn a_decision_in_force_goes_to_who_asked_for_it() {
        let decision = crate::channels::samples::decision();
        let asked = Route { tells_decisions: true, severity_min: Severity::Critical, ..route() };
        let rows = decided(&[route(), asked.clone()], &decision);
        assert_eq!(rows.iter().map(|it| it.subject).collect::<Vec<_>>(), [Subject::Decision(7)]);
        let notice = alert_text::decode(&rows[0].payload).unwrap();
        assert_eq!((notice.title.as_str(), notice.kind.as_str()), ("203.0.113.7 banned", "decision"));
        assert!(notice.details.ends_with("by rule bruteforce: Brute force attack"), "{}", notice.details);
        for standing in [Standing::DryRun, Standing::Held(model::decision::Brake::Rate)] {
            assert_eq!(decided(std::slice::from_ref(&asked), &Decision { standing, ..decision.clone() }), []);
        }
    }

    #[test]
    fn the_end_of_a_decision_goes_to_who_is_told_of_ends_and_its_expiry_to_nobody() {
        let decision = crate::channels::samples::decision();
        let asked = Route { tells_decisions: true, tells_closed: true, ..route() };
        let end = |at| Ended { at, actor: "anna".into(), reason: "a mistake".into() };
        let ended = Decision { ended: Some(end(decision.created_at)), ..decision.clone() };
        let rows = decided(&[Route { tells_closed: false, ..asked.clone() }, asked.clone()], &ended);
        assert_eq!(rows.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>(), ["ended"]);
        assert_ne!(rows[0].id(), decided(std::slice::from_ref(&asked), &decision)[0].id());
        let notice = alert_text::decode(&rows[0].payload).unwrap();
        assert_eq!(
            (notice.title.as_str(), notice.details.as_str()),
            ("203.0.113.7 banned no longer", "Ended by anna: a mistake")
        );
        for over in [
            Decision { ended: Some(end(decision.expires_at)), ..decision.clone() },
            Decision { standing: Standing::DryRun, ..ended.clone() },
            Decision { is_synthetic: true, ..ended },
        ] {
            assert_eq!(decided(std::slice::from_ref(&asked), &over), []);
        }
    }

    #[test]
    fn an_alert_goes_where_it_is_bad_enough() {
        for (severity, expected) in [(Severity::Low, false), (Severity::Medium, true), (Severity::Critical, true)] {
            check(|_| {}, &Alert { severity, ..alert() }, expected);
        }
    }

    #[test]
    fn rules_are_named_by_id_kind_or_beginning() {
        for (pattern, expected) in
            [("bruteforce", true), ("brute*", true), ("*", true), ("sshd-*", false), ("bruteforc", false)]
        {
            check(|it| it.include = vec!["other".into(), pattern.into()], &alert(), expected);
            check(|it| it.exclude = vec!["other".into(), pattern.into()], &alert(), !expected);
        }
        let by_kind = Alert { rule_id: "nginx-login".into(), ..alert() };
        check(|it| it.include = vec!["bruteforce".into()], &by_kind, true);
    }

    #[test]
    fn demo_data_goes_nowhere_unless_it_is_wanted() {
        let synthetic = Alert { synthetic: true, ..alert() };
        check(|_| {}, &synthetic, false);
        check(|it| it.has_synthetic = true, &synthetic, true);
    }

    #[test]
    fn a_repetition_is_of_one_rule_and_one_entity() {
        let of =
            |alert: &Alert| raised(&[Route { repeat: Duration::from_secs(9), ..route() }], alert)[0].repeat.clone();
        let one = of(&alert()).expect("there is an interval");
        assert_eq!(one.interval, Duration::from_secs(9));
        assert_eq!(of(&Alert { id: model::id::AlertId(9), count: 7, ..alert() }), Some(one.clone()));
        assert_ne!(of(&Alert { rule_id: "another".into(), ..alert() }), Some(one.clone()));
        let another = model::entity::Entity::of_ip("192.0.2.9".parse().unwrap());
        assert_ne!(of(&Alert { entity: another, ..alert() }), Some(one));
        assert_eq!(raised(&[route()], &alert())[0].repeat, None);
    }

    #[test]
    fn closing_is_told_where_it_is_wanted_each_time() {
        let telling = Route { tells_closed: true, ..route() };
        let rows = |at: i64| closed(&[route(), telling.clone()], &alert(), Timestamp(at));
        assert_eq!((rows(1).len(), rows(1)[0].kind.as_str(), &rows(1)[0].repeat), (1, "closed", &None));
        assert_ne!(rows(1)[0].id(), rows(2)[0].id());
        assert_eq!(rows(1)[0].id(), rows(1)[0].id());
        let mild = Alert { severity: Severity::Low, ..alert() };
        assert!(closed(&[telling], &mild, Timestamp(1)).is_empty());
    }

    #[test]
    fn the_largest_evidence_goes_along_and_a_larger_one_does_not() {
        let event = |length: usize| {
            let event = format!("\"{}\"", "x".repeat(length - 2));
            let rows = raised(&[route()], &Alert { event, ..alert() });
            alert_text::decode(&rows[0].payload).expect("it is an alert").event.len()
        };
        assert_eq!(event(EVENT_BYTES_MAX), EVENT_BYTES_MAX);
        assert_eq!(event(EVENT_BYTES_MAX + 1), 2);
    }
}
