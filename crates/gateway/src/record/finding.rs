//! The events beside the one of a request, in the form `AnormalEvent`: a decision was enforced, a rule of the Core Rule Set
//! matched.

use model::event::{EventFlags, EventWriter, Original, TextField};
use model::id::EventId;
use model::intake::Events;
use model::severity::Severity;
use seclang::outcome::{self, Match};
use serde_json::{Value, json};

use super::{INPUT, Record, cut};

/// For how many rules of the Core Rule Set a request gets an event; the event of the request names them all.
pub(super) const RULES_MAX: usize = 8;

/// A type of `AnormalEvent`: number, name, and the kind of its alerts.
type Kind = (u8, &'static str, &'static str);

const WAF_RULE_TRIGGERED: Kind = (20, "WafRuleTriggered", "waf_rule_triggered");
const FIREWALL_BLOCK: Kind = (21, "FirewallBlock", "firewall_block");

/// What such an event says, over and above the request.
pub(super) struct Finding {
    kind: Kind,
    /// What its id ends with, after the id of the request.
    suffix: String,
    /// Number and word of the form.
    severity: (i64, &'static str),
    description: String,
    /// Further members of the form.
    more: Value,
}

impl Finding {
    /// That a decision was enforced: `reason` and what was done. Informational, since what it was decided for has its own alert.
    pub(super) fn of_decision(reason: &str, action: &str) -> Self {
        Self {
            kind: FIREWALL_BLOCK,
            suffix: "block".to_owned(),
            severity: (0, "Info"),
            description: format!("Decision of `{reason}` enforced: {action}"),
            more: json!({}),
        }
    }

    /// That a rule of the Core Rule Set matched.
    pub(super) fn of_rule(found: &Match) -> Self {
        let severity = found.severity.map(|it| it.to_string());
        Self {
            kind: WAF_RULE_TRIGGERED,
            suffix: format!("crs-{}", found.id),
            severity: severity_of(found.severity),
            description: format!("CRS {} in {}: {}", found.id, found.target, found.message),
            more: json!({
                "CrsRule": found.id, "CrsTags": found.tags, "CrsSeverity": severity,
                "CrsTarget": found.target, "CrsExcerpt": found.excerpt,
            }),
        }
    }

    /// Writes it at the end of `out`.
    pub(super) fn write(&self, record: &Record, out: &mut Events) {
        let (_, rule, kind) = self.kind;
        let id = format!("{}-{}", record.id, self.suffix);
        let json = self.form(record, &id).to_string();
        let flags = EventFlags::REPEATABLE | EventFlags::LOGSOURCE_COMPLETE;
        let event_id = EventId::of_source(INPUT, INPUT, &id);
        let mut writer = EventWriter::new(&mut out.bytes, event_id, record.time, Some(record.time), flags);
        writer.text(TextField::Source, INPUT).text(TextField::Input, INPUT).client_ip(record.client);
        if let Some(status) = record.status.filter(|it| (100..=599).contains(it)) {
            writer.status_code(status);
        }
        let severity = Severity::from_anormal(self.severity.0).rank().to_string();
        for (field, text) in [
            (TextField::Product, "anormal"),
            (TextField::Category, "finding"),
            (TextField::Method, &record.method),
            (TextField::Path, cut(&record.target)),
            (TextField::Message, &self.description),
            (TextField::SourceSeverity, self.severity.1),
            (TextField::Format, "anormal-event"),
            (TextField::FindingRule, rule),
            (TextField::FindingTitle, &self.description),
            (TextField::FindingSeverity, &severity),
            (TextField::FindingKind, kind),
        ] {
            writer.text(field, text);
        }
        if let Some(user_agent) = &record.user_agent {
            writer.text(TextField::UserAgent, cut(user_agent));
        }
        writer.original(Original::Json(&json));
        out.close();
    }

    fn form(&self, record: &Record, id: &str) -> Value {
        let mut form = json!({
            "Id": id, "ServiceName": INPUT, "Ip": record.client.to_string(), "EventType": self.kind.0,
            "Severity": self.severity.0, "Description": self.description, "OccurredAt": record.time.to_string(),
            "RequestId": record.id.to_string(), "Method": record.method, "Path": cut(&record.target),
            "StatusCode": record.status, "UserAgent": record.user_agent.as_deref().map(cut),
        });
        if let (Value::Object(form), Value::Object(more)) = (&mut form, &self.more) {
            form.extend(more.clone());
        }
        form
    }
}

/// The severity of a rule in the numbers of the form; a rule that says none is a warning.
const fn severity_of(severity: Option<outcome::Severity>) -> (i64, &'static str) {
    use outcome::Severity::{Alert, Critical, Debug, Emergency, Error, Info, Notice, Warning};
    match severity {
        Some(Emergency | Alert | Critical) => (3, "Attack"),
        Some(Error) => (2, "Error"),
        Some(Warning) | None => (1, "Warning"),
        Some(Notice | Info | Debug) => (0, "Info"),
    }
}
