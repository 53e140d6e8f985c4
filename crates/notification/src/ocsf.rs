//! An alert as a Detection Finding of OCSF. Source: schema.ocsf.io, version 1.4.0, class 2004.

use model::alert::Alert;
use model::entity::EntityKind;
use model::severity::Severity;
use model::time::Timestamp;
use serde_json::{Value, json};

use crate::message::Message;

const VERSION: &str = "1.4.0";
const CLASS: u64 = 2004;

/// Writes the finding.
pub(crate) fn finding(message: &Message) -> Value {
    let alert = &message.alert;
    let (activity, activity_name) = if message.kind.is_over() { (3, "Close") } else { (1, "Create") };
    let (status, status_name) = if message.kind.is_over() { (4, "Resolved") } else { (1, "New") };
    let mut finding = json!({
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + activity,
        "activity_id": activity,
        "activity_name": activity_name,
        "time": milliseconds(message.created_at),
        "message": alert.details,
        "severity_id": severity(alert.severity),
        "severity": severity_name(alert.severity),
        "status_id": status,
        "status": status_name,
        "confidence_score": alert.confidence,
        "count": alert.count,
        "start_time": milliseconds(alert.first_seen),
        "end_time": milliseconds(alert.last_seen),
        "metadata": {
            "version": VERSION,
            "uid": message.id.to_string(),
            "product": {"name": "Bartizan", "vendor_name": "Bartizan", "version": env!("CARGO_PKG_VERSION")},
        },
        "finding_info": finding_info(alert),
        "observables": observables(alert),
        "is_alert": true,
    });
    let evidence = evidence(alert);
    if evidence.as_object().is_some_and(|it| !it.is_empty()) {
        finding["evidences"] = json!([evidence]);
    }
    finding
}

fn finding_info(alert: &Alert) -> Value {
    json!({
        "uid": alert.id.to_string(),
        "title": alert.title,
        "desc": alert.description,
        "types": [alert.kind],
        "analytic": {"uid": alert.rule_id, "name": alert.title, "type_id": 1, "type": "Rule", "version": alert.rule_version},
        "created_time": milliseconds(alert.timestamp),
        "first_seen_time": milliseconds(alert.first_seen),
        "last_seen_time": milliseconds(alert.last_seen),
        "data_sources": [alert.source],
    })
}

fn observables(alert: &Alert) -> Vec<Value> {
    let address = |name: &str, it: std::net::IpAddr| json!({"name": name, "type_id": 2, "type": "IP Address", "value": it.to_string()});
    let mut found: Vec<Value> =
        alert.client_ip.map(|it| address("evidences.src_endpoint.ip", it)).into_iter().collect();
    found.extend(alert.dst_ip.map(|it| address("evidences.dst_endpoint.ip", it)));
    let user =
        |it: &String| json!({"name": "evidences.actor.user.name", "type_id": 4, "type": "User Name", "value": it});
    found.extend(alert.user.as_ref().map(user));
    if alert.entity.kind == EntityKind::Host {
        let host = &alert.entity.value;
        found.push(json!({"name": "evidences.device.hostname", "type_id": 1, "type": "Hostname", "value": host}));
    }
    found
}

fn evidence(alert: &Alert) -> Value {
    let mut evidence = json!({});
    if let Some(address) = alert.client_ip {
        evidence["src_endpoint"] = json!({"ip": address.to_string()});
    }
    if let Some(address) = alert.dst_ip {
        evidence["dst_endpoint"] = json!({"ip": address.to_string()});
    }
    if let Some(user) = &alert.user {
        evidence["actor"] = json!({"user": {"name": user}});
    }
    if alert.entity.kind == EntityKind::Host {
        evidence["device"] = json!({"hostname": alert.entity.value, "type_id": 0});
    }
    evidence
}

const fn severity(severity: Severity) -> u8 {
    severity.rank() + 1
}

const fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "Informational",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    }
}

const fn milliseconds(time: Timestamp) -> i64 {
    time.nanos().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::samples::{alert, message};
    use crate::message::Kind;

    #[test]
    fn a_finding_has_what_the_class_requires() {
        let finding = finding(&message(Kind::Raised, alert()));
        for required in
            ["activity_id", "category_uid", "class_uid", "finding_info", "metadata", "severity_id", "time", "type_uid"]
        {
            assert!(finding.get(required).is_some(), "{required}");
        }
        assert_eq!(
            (&finding["class_uid"], &finding["type_uid"], &finding["severity_id"]),
            (&json!(2004), &json!(200_401), &json!(4))
        );
        assert_eq!(finding["finding_info"]["uid"], alert().id.to_string());
        assert_eq!(finding["evidences"][0]["src_endpoint"]["ip"], "203.0.113.7");
        assert_eq!(finding["time"], 1_700_000_000_000_i64);
    }

    #[test]
    fn closing_is_an_activity_of_its_own() {
        let finding = finding(&message(Kind::Closed, alert()));
        assert_eq!((&finding["type_uid"], &finding["status_id"]), (&json!(200_403), &json!(4)));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let finding = finding(&message(Kind::Raised, Alert { client_ip: None, user: None, ..alert() }));
        assert!(finding.get("evidences").is_none());
        assert_eq!(finding["observables"], json!([]));
    }
}
