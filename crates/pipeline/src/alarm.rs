//! Alarms of the admitter: what brakes held back, one alert for each brake and hour.

use std::collections::BTreeMap;
use std::time::Duration;

use decision::report::Report;
use model::alert::{Alert, AlertStatus};
use model::decision::{Brake, Target};
use model::entity::{Entity, EntityKind};
use model::id::AlertId;
use model::severity::Severity;
use model::time::Timestamp;
use serde_json::json;

/// The rule of these alerts.
pub const RULE: &str = "bartizan-decisions-held";
/// The rule of the alert that says what dry run would have blocked.
pub const RULE_DRY_RUN: &str = "bartizan-would-have-blocked";
/// How long a bucket is: one alert for each brake in it.
const BUCKET: Duration = Duration::from_secs(3600);
/// How many targets an alarm names.
const NAMED: usize = 5;
/// How much of a user agent is told, in characters.
const AGENT_CHARS: usize = 60;

/// What would have been blocked, as an alert: there is one, whatever the time.
pub(crate) fn would_have_blocked(report: &Report, now: Timestamp) -> Alert {
    let plural = if report.targets == 1 { "address or user" } else { "addresses or users" };
    let common = report.user_agents.first().filter(|it| it.targets != report.targets || 1 < it.targets);
    let common = common.map(|it| {
        let name: String = it.name.chars().filter(|it| !it.is_control()).take(AGENT_CHARS).collect();
        format!(", {} of them calling themselves `{name}`", it.targets)
    });
    let details = format!(
        "A week of dry run: rules would have blocked {} {plural}{}. `bartizan decisions report` says more; \
         `bartizan decisions live` has them blocked from now on.",
        report.targets,
        common.unwrap_or_default()
    );
    let word = "dry-run";
    Alert {
        id: AlertId::of_rule(RULE_DRY_RUN, "built-in", word, Timestamp::default()),
        rule_id: RULE_DRY_RUN.to_owned(),
        title: "What would have been blocked".to_owned(),
        kind: "dry-run-report".to_owned(),
        severity: Severity::Medium,
        entity: Entity { kind: EntityKind::Group, value: word.to_owned() },
        count: report.decisions as u64,
        reason: "a week of dry run has passed".to_owned(),
        description: "A new installation decides and blocks nobody, until a person says that it may.".to_owned(),
        matched: Vec::new(),
        synthetic: false,
        ..told(now, details)
    }
}

/// An alert of the admitter; who makes one says what it is about.
fn told(now: Timestamp, details: String) -> Alert {
    Alert {
        id: AlertId(0),
        rule_id: String::new(),
        rule_version: "built-in".to_owned(),
        title: String::new(),
        kind: String::new(),
        severity: Severity::Low,
        confidence: 100,
        status: AlertStatus::New,
        entity: Entity { kind: EntityKind::Group, value: String::new() },
        client_ip: None,
        dst_ip: None,
        count: 0,
        first_seen: now,
        last_seen: now,
        window_start: now,
        timestamp: now,
        details,
        reason: String::new(),
        description: String::new(),
        detector: "Admitter".to_owned(),
        source: "bartizan".to_owned(),
        country: None,
        user: None,
        matched: Vec::new(),
        evidence: Vec::new(),
        event: json!({}).to_string(),
        synthetic: false,
        incarnation: 0,
    }
}

/// A proposal that a brake held back.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) brake: Brake,
    pub(crate) target: Target,
    pub(crate) is_synthetic: bool,
}

/// What was held back lately.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms {
    counts: BTreeMap<(Timestamp, Brake), Count>,
}

#[derive(Clone, Debug)]
struct Count {
    count: u64,
    first: Timestamp,
    named: Vec<String>,
    is_synthetic: bool,
}

impl Alarms {
    /// Counts what was held back, and returns the alarms about it as they are now. `epoch` is another for each leader.
    pub(crate) fn take(&mut self, held: &[Held], now: Timestamp, epoch: u64) -> Vec<Alert> {
        let bucket = Timestamp(now.0 - now.0.rem_euclid(BUCKET.as_nanos() as i64));
        self.counts.retain(|it, _| bucket <= it.0);
        let mut changed: Vec<Brake> = held.iter().map(|it| it.brake).collect();
        changed.sort_unstable();
        changed.dedup();
        for Held { brake, target, is_synthetic } in held {
            let fresh = || Count { count: 0, first: now, named: Vec::new(), is_synthetic: true };
            let count = self.counts.entry((bucket, *brake)).or_insert_with(fresh);
            count.count += 1;
            count.is_synthetic &= is_synthetic;
            let name = target.to_string();
            if count.named.len() < NAMED && !count.named.contains(&name) {
                count.named.push(name);
            }
        }
        let counted = changed.iter().filter_map(|it| Some((*it, self.counts.get(&(bucket, *it))?)));
        counted.map(|(brake, count)| Alert { incarnation: epoch, ..alarm(brake, bucket, count, now) }).collect()
    }
}

fn alarm(brake: Brake, bucket: Timestamp, count: &Count, now: Timestamp) -> Alert {
    let word = brake.as_str();
    let plural = if count.count == 1 { "decision was" } else { "decisions were" };
    let details = format!(
        "{} {plural} held back because {}: {}. `bartizan decisions list --state held` shows them.",
        count.count,
        brake.explained(),
        count.named.join(", ")
    );
    Alert {
        id: AlertId::of_rule(RULE, "built-in", word, bucket),
        rule_id: RULE.to_owned(),
        title: "Decisions were held back".to_owned(),
        kind: "decisions-held".to_owned(),
        severity: match brake {
            Brake::Rate | Brake::Share | Brake::Width => Severity::Medium,
            Brake::NeverBlock | Brake::Paused | Brake::Spoofable => Severity::Low,
        },
        entity: Entity { kind: EntityKind::Group, value: word.to_owned() },
        count: count.count,
        first_seen: count.first,
        window_start: bucket,
        timestamp: count.first,
        reason: brake.explained().to_owned(),
        description: "A brake of the admitter holds decisions back until a person has looked.".to_owned(),
        matched: vec![("brake".to_owned(), word.to_owned())],
        synthetic: count.is_synthetic,
        ..told(now, details)
    }
}
