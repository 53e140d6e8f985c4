//! The alert on a rule that is evaluated no more because it cost too much.

use std::sync::Arc;

use model::entity::{Entity, EntityKind};
use model::id::AlertId;
use model::severity::Severity;
use model::time::Timestamp;

use crate::engine::AlertChange;
use crate::rules::RuleInfo;
use crate::window::Counted;
use crate::window::table::Named;

/// The rule of these alerts.
pub const RULE: &str = "bartizan-rule-suspended";
/// The bucket: one alert for a rule and hour.
const BUCKET: i64 = 3600 * 1_000_000_000;

/// Makes the alert on the rule `id`. `received` is the latest receipt of an event, and `events` how many there were: both are the
/// same in every replay.
pub(crate) fn alert_on(id: &str, received: Option<Timestamp>, events: u64) -> AlertChange {
    let time = received.unwrap_or(Timestamp(0));
    let bucket = time.0.div_euclid(BUCKET);
    let window_start = Timestamp(bucket.saturating_mul(BUCKET));
    let info = RuleInfo {
        details: Some(
            "The rule `{entity}` cost more time than a rule may. It is evaluated no more until the rules change or the server \
             starts again."
                .to_owned(),
        ),
        confidence: 100,
        ..RuleInfo::built_in(
            RULE,
            "A rule is suspended",
            "rule-suspended",
            Severity::High,
            "What this rule finds is not seen now. Make its patterns simpler or its selections narrower: `docs/alerts.md`, \
             \"A rule is suspended\".",
        )
    };
    let entity = Entity { kind: EntityKind::Group, value: id.to_owned() };
    let named = Named { key: format!("rule:{id}"), entity, incarnation: events, is_synthetic: false };
    let counted =
        Counted { bucket, completed: time, count: 1, first_seen: time, last_seen: time, evidence: Vec::new() };
    AlertChange {
        id: AlertId::of_rule(&info.id, &info.version, &named.key, window_start),
        explained_by: None,
        severity: info.severity,
        info: Arc::new(info),
        named,
        window_start,
        counted,
        is_new: true,
        note: None,
    }
}
