//! What is told of a request: one event, and further ones when a decision was enforced or rules of others matched.

mod finding;
pub(crate) mod recorder;
pub(crate) mod spill;

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use attack::report::{Finding, Report, Unread};
use model::event::{EventFlags, EventWriter, Original, TextField};
use model::id::EventId;
use model::intake::Events;
use model::time::Timestamp;

use self::finding::{Finding as Further, RULES_MAX};
use crate::crs::{Verdict, exclusion, sentence};

/// The input and the source of every event of the gateway.
pub const INPUT: &str = "gateway";
/// How long a text of a request may be in its event, in bytes; only attacks are longer.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// How many matches of the Core Rule Set an event shows.
const EVIDENCE_MAX: usize = 16;

/// What was done with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Action {
    /// It passed.
    #[default]
    Pass,
    /// It is an attack and passed, since its route only observes.
    Observe,
    /// 429.
    Throttle,
    /// 403.
    Block,
    /// Its framing was ambiguous, or it was over a limit.
    Refuse,
    /// It could not be checked, and the policy is to fail closed.
    Fail,
}

impl Action {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 6] =
        [Self::Pass, Self::Observe, Self::Throttle, Self::Block, Self::Refuse, Self::Fail];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Observe => "observe",
            Self::Throttle => "throttle",
            Self::Block => "block",
            Self::Refuse => "refuse",
            Self::Fail => "fail",
        }
    }
}

/// What is told of a request.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: EventId,
    pub(crate) time: Timestamp,
    pub(crate) client: IpAddr,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) version: &'static str,
    pub(crate) user_agent: Option<String>,
    pub(crate) referer: Option<String>,
    /// `None` where another proxy gives the answer.
    pub(crate) status: Option<u16>,
    pub(crate) latency: Duration,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// How much of the body was looked at.
    pub(crate) body_inspected: usize,
    /// Why a part of the body was not looked at; `None`: all of it was.
    pub(crate) unread: Option<Unread>,
    /// `None` where nothing was inspected.
    pub(crate) report: Option<Report>,
    /// What the Core Rule Set says; `None` where it was not asked.
    pub(crate) crs: Option<Verdict>,
    pub(crate) action: Action,
    /// The reason of the decision that was enforced.
    pub(crate) decision: Option<String>,
    /// The check of framing that refused it.
    pub(crate) refusal: Option<&'static str>,
    pub(crate) upstream: Option<String>,
    /// Whether the answer broke off.
    pub(crate) is_broken: bool,
}

impl Record {
    /// Begins the record of a request.
    pub(crate) fn new(id: EventId, time: Timestamp, client: IpAddr) -> Self {
        Self {
            id,
            time,
            client,
            method: String::new(),
            target: String::new(),
            host: String::new(),
            version: "HTTP/1.1",
            user_agent: None,
            referer: None,
            status: None,
            latency: Duration::ZERO,
            request_bytes: 0,
            response_bytes: 0,
            body_inspected: 0,
            unread: None,
            report: None,
            crs: None,
            action: Action::Pass,
            decision: None,
            refusal: None,
            upstream: None,
            is_broken: false,
        }
    }

    /// Writes its event, and those of the enforced decision and of matched rules, at the end of `out`.
    pub(crate) fn write(&self, out: &mut Events) {
        let flags = EventFlags::REPEATABLE | EventFlags::LOGSOURCE_COMPLETE;
        let mut writer = EventWriter::new(&mut out.bytes, self.id, self.time, Some(self.time), flags);
        writer.text(TextField::Source, INPUT).text(TextField::Input, INPUT).client_ip(self.client);
        if let Some(status) = self.status.filter(|it| (100..=599).contains(it)) {
            writer.status_code(status).response_bytes(self.response_bytes);
        }
        writer.text(TextField::Category, "webserver").text(TextField::Format, INPUT);
        for (field, text) in [
            (TextField::Host, Some(&self.host)),
            (TextField::Method, Some(&self.method)),
            (TextField::Path, Some(&self.target)),
            (TextField::UserAgent, self.user_agent.as_ref()),
            (TextField::Referer, self.referer.as_ref()),
        ] {
            if let Some(text) = text {
                writer.text(field, cut(text));
            }
        }
        writer.text(TextField::Protocol, self.version);
        if self.decision.is_some() {
            // Our own answer; rules that count behaviour leave it out.
            writer.text(TextField::Enforced, "true");
        }
        writer.original(Original::Json(&self.details()));
        out.close();
        if let Some(reason) = &self.decision {
            Further::of_decision(reason, self.action.as_str()).write(self, out);
        }
        let rules = self.crs.iter().flat_map(Verdict::by_rule);
        rules.take(RULES_MAX).for_each(|it| Further::of_rule(it).write(self, out));
    }

    /// What no named field holds, as a JSON object.
    fn details(&self) -> String {
        let mut json = String::with_capacity(320);
        // Writing to a String cannot fail.
        let _ = write!(
            json,
            "{{\"http.request_id\":\"{}\",\"http.inspected\":{},\"http.action\":\"{}\",\"http.request_bytes\":{}",
            self.id,
            self.report.is_some(),
            self.action.as_str(),
            self.request_bytes
        );
        if self.status.is_some() {
            let _ = write!(json, ",\"http.latency_ms\":{:.3}", self.latency.as_secs_f64() * 1000.0);
        }
        for (name, text) in [("decision", self.decision.as_deref()), ("upstream", self.upstream.as_deref())] {
            if let Some(text) = text {
                let _ = write!(json, ",\"http.{name}\":{}", quoted(text));
            }
        }
        if self.is_broken {
            json.push_str(",\"http.broken_off\":true");
        }
        self.write_findings(&mut json);
        self.write_crs(&mut json);
        json.push('}');
        json
    }

    fn write_findings(&self, json: &mut String) {
        let refused = self.refusal.map(|it| format!("protocol/{it}"));
        let report = self.report.as_ref();
        if let Some(report) = report {
            let _ = write!(
                json,
                ",\"http.attack_score\":{},\"http.bot_score\":{},\"http.body_inspected\":{}",
                report.attack_score, report.bot_score, self.body_inspected
            );
            if let Some(unread) = self.unread {
                let _ = write!(json, ",\"http.body_unread\":\"{}\"", unread.as_str());
            }
        } else if refused.is_some() {
            let _ = write!(json, ",\"http.attack_score\":{}", attack::report::ATTACK_SCORE);
        }
        let findings = report.map_or(&[][..], |it| &it.findings);
        let names = findings.iter().map(Finding::name);
        write_list(json, "findings", names.chain(refused.clone()));
        let families = report.map(Report::families).unwrap_or_default();
        let families = families.iter().map(|it| it.as_str().to_owned());
        write_list(json, "families", families.chain(refused.map(|_| "protocol".to_owned())));
        write_list(json, "evidence", findings.iter().map(Finding::sentence));
        // What an exception is made from; `protocol/...` of a refusal has none, so these may be one shorter than `findings`.
        write_list(json, "places", findings.iter().map(|it| it.place.to_string()));
        write_list(json, "scores", findings.iter().map(|it| it.score.to_string()));
        write_list(json, "excepted", report.iter().flat_map(|it| &it.excepted).map(Finding::sentence));
    }

    fn write_crs(&self, json: &mut String) {
        let Some(crs) = &self.crs else { return };
        let rules: Vec<String> = crs.by_rule().map(|it| it.id.to_string()).collect();
        let _ = write!(json, ",\"http.crs_score\":{}", crs.score);
        if !rules.is_empty() {
            let _ = write!(json, ",\"http.crs_rules\":[{}]", rules.join(","));
        }
        let shown = || crs.matches.iter().take(EVIDENCE_MAX);
        write_list(json, "crs_evidence", shown().map(sentence));
        let mut exclusions: Vec<String> = shown().filter_map(exclusion).collect();
        exclusions.sort_unstable();
        exclusions.dedup();
        write_list(json, "crs_exclude", exclusions.into_iter());
    }
}

/// The beginning of a text, as much as an event holds.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn write_list(json: &mut String, name: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.map(|it| quoted(&it)).collect();
    if !items.is_empty() {
        let _ = write!(json, ",\"http.{name}\":[{}]", items.join(","));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use attack::report::{Family, Place};
    use model::event::EventView;

    use super::*;

    pub(crate) const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

    pub(crate) fn sample(number: u128) -> Record {
        Record {
            method: "GET".to_owned(),
            target: "/a?q=1".to_owned(),
            host: "shop".to_owned(),
            user_agent: Some("Mozilla/5.0".to_owned()),
            status: Some(200),
            response_bytes: 17,
            latency: Duration::from_micros(1_500),
            ..Record::new(EventId(number), NOON, "203.0.113.7".parse().unwrap())
        }
    }

    fn json_of(event: &[u8]) -> serde_json::Value {
        let Some(EventView { original: Original::Json(text), .. }) = EventView::of(event) else { panic!("no JSON") };
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_event_tells_of_request_and_answer() {
        let mut events = Events::default();
        sample(7).write(&mut events);
        let event = events.iter().next().unwrap();
        let view = EventView::of(event).unwrap();
        assert_eq!((view.id, view.time, view.received), (EventId(7), NOON, Some(NOON)));
        assert_eq!((view.status_code, view.response_bytes), (Some(200), Some(17)));
        assert_eq!((view.path_stem(), view.path_query()), (Some("/a"), Some("q=1")));
        assert!(view.flags.has(EventFlags::LOGSOURCE_COMPLETE) && !view.is_finding());
        assert_eq!(view.text(TextField::Enforced), None);
        let json = json_of(event);
        assert_eq!((&json["http.latency_ms"], &json["http.action"]), (&1.5.into(), &"pass".into()));
        assert_eq!(json["http.inspected"], false);
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn findings_are_lists_with_their_evidence() {
        let mut report = Report::default();
        report.add(Finding {
            family: Family::SqlInjection,
            check: "sql-union",
            place: Place::Query("q".to_owned()),
            excerpt: "1' union \"select".to_owned(),
            confidence: 90,
            score: 5,
        });
        let mut events = Events::default();
        Record { report: Some(report), action: Action::Block, ..sample(7) }.write(&mut events);
        let json = json_of(events.iter().next().unwrap());
        assert_eq!(json["http.findings"], serde_json::json!(["sqli/sql-union"]));
        assert_eq!(json["http.families"], serde_json::json!(["sqli"]));
        assert_eq!(
            json["http.evidence"],
            serde_json::json!(["sqli/sql-union in query argument `q`: 1' union \"select"])
        );
        assert_eq!(json["http.places"], serde_json::json!(["query argument `q`"]));
        assert_eq!(
            (&json["http.scores"], &json["http.excepted"]),
            (&serde_json::json!(["5"]), &serde_json::Value::Null)
        );
        assert_eq!((&json["http.attack_score"], &json["http.inspected"]), (&5.into(), &true.into()));
    }

    #[test]
    fn an_enforced_decision_is_a_firewall_block() {
        let mut events = Events::default();
        let decision = Some("bruteforce".to_owned());
        Record { decision, status: Some(403), action: Action::Block, ..sample(7) }.write(&mut events);
        let request = EventView::of(events.iter().next().unwrap()).unwrap();
        assert_eq!(request.text(TextField::Enforced), Some("true"));
        let event = events.iter().nth(1).unwrap();
        let view = EventView::of(event).unwrap();
        assert_eq!(view.text(TextField::FindingRule), Some("FirewallBlock"));
        assert_eq!((view.status_code, view.text(TextField::Product)), (Some(403), Some("anormal")));
        let json = json_of(event);
        assert_eq!((&json["EventType"], &json["RequestId"]), (&21.into(), &EventId(7).to_string().into()));
        assert_eq!(view.finding_severity().map(|it| it.rank()), Some(0));
    }

    #[test]
    fn a_long_target_is_cut_between_characters() {
        let mut events = Events::default();
        Record { target: "é".repeat(TEXT_BYTES_MAX), ..sample(7) }.write(&mut events);
        let view = EventView::of(events.iter().next().unwrap()).unwrap();
        assert_eq!(view.text(TextField::Path).map(str::len), Some(TEXT_BYTES_MAX));
    }
}
