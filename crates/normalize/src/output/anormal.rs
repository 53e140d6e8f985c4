//! Requests in the form of the `AnormalEvent`: what the gateway saw, for whoever reads that system's messages.

use model::event::{EventView, Original, TextField};
use serde_json::{Map, Value, json};

/// The format of events that have the form already.
const FORMAT: &str = "anormal-event";
/// From which attack score on a request is an attack.
const ATTACK_SCORE: u64 = 5;

/// Type and severity of the form.
type Kind = (i64, i64);

const UNKNOWN: Kind = (0, 0);
const SQL_INJECTION: Kind = (1, 3);
const XSS: Kind = (2, 3);
const SUSPICIOUS_SCAN: Kind = (12, 1);
const BOT_DETECTED: Kind = (13, 1);
const WAF_RULE_TRIGGERED: Kind = (20, 3);
const FIREWALL_BLOCK: Kind = (21, 0);

/// Writes an event in the form of the `AnormalEvent`; `None` for one that is no request or has no address.
///
/// What came in that form, or was made in it, is given as it is. Else the type is that of the gravest finding: SQL injection and
/// XSS have types of their own, another attack is `WafRuleTriggered` (20), a scanner `SuspiciousScan` (12), an enforced
/// decision `FirewallBlock` (21), a declared bot `BotDetected` (13), a request without any `Unknown` (0). `Request` is a text that
/// holds JSON, as in that system.
#[must_use]
pub fn anormal_json(view: &EventView<'_>) -> Option<String> {
    let original = match view.original {
        Original::Json(text) if view.text(TextField::Format) == Some(FORMAT) => return Some(text.to_owned()),
        Original::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        Original::Text(_) | Original::None => Map::new(),
    };
    let (method, path) = (view.text(TextField::Method)?, view.text(TextField::Path)?);
    let details = Details(original);
    let (kind, severity) = details.kind();
    let form = json!({
        "Id": null,
        "ServiceName": view.text(TextField::Source).unwrap_or_default(),
        "Ip": view.client_ip?.to_string(),
        "EventType": kind,
        "Severity": severity,
        "Description": details.description().unwrap_or_else(|| answered(view, method, path)),
        "OccurredAt": view.time.to_string(),
        "RequestId": details.0.get("http.request_id").cloned().unwrap_or_else(|| view.id.to_string().into()),
        "Method": method,
        "Path": view.path_stem(),
        "StatusCode": view.status_code,
        "UserAgent": view.text(TextField::UserAgent),
        "Request": details.request(view, method, path).to_string(),
    });
    Some(form.to_string())
}

fn answered(view: &EventView<'_>, method: &str, path: &str) -> String {
    let status = view.status_code.map_or_else(|| "nothing known".to_owned(), |it| it.to_string());
    format!("{method} {path} answered with {status}")
}

/// What the gateway wrote into the original of an event.
struct Details(Map<String, Value>);

impl Details {
    fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn kind(&self) -> Kind {
        let is_attack = self.0.get("http.attack_score").and_then(Value::as_u64).is_some_and(|it| ATTACK_SCORE <= it);
        let has = |family: &str| is_attack && self.list("http.families").any(|it| it == family);
        let has_rule = self.0.get("http.crs_rules").is_some();
        let is_other = is_attack && self.list("http.families").any(|it| it != "scanner");
        let cases = [
            (has("sqli"), SQL_INJECTION),
            (has("xss"), XSS),
            (is_other || has_rule, WAF_RULE_TRIGGERED),
            (has("scanner"), SUSPICIOUS_SCAN),
            (self.text("http.decision").is_some(), FIREWALL_BLOCK),
            (self.list("http.findings").any(|it| it.starts_with("bot/")), BOT_DETECTED),
        ];
        cases.into_iter().find(|it| it.0).map_or(UNKNOWN, |it| it.1)
    }

    fn description(&self) -> Option<String> {
        let first = |name: &str| self.list(name).next().map(str::to_owned);
        let decision = || {
            let action = self.text("http.action").unwrap_or_default();
            self.text("http.decision").map(|it| format!("Decision of `{it}` enforced: {action}"))
        };
        first("http.evidence").or_else(|| first("http.crs_evidence")).or_else(decision)
    }

    /// What stands in `Request`.
    fn request(&self, view: &EventView<'_>, method: &str, path: &str) -> Value {
        let extra: Map<String, Value> =
            self.0.iter().filter(|it| it.0.starts_with("http.")).map(|(name, it)| (name.clone(), it.clone())).collect();
        json!({
            "url": format!("{}{path}", view.text(TextField::Host).unwrap_or_default()),
            "method": method,
            "path": view.path_stem(),
            "query": view.path_query(),
            "ua": view.text(TextField::UserAgent),
            "extra": extra,
        })
    }
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventWriter};
    use model::id::EventId;
    use model::time::Timestamp;

    use super::*;

    fn event(original: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let time = Timestamp(1_795_176_000_000_000_000);
        let mut writer = EventWriter::new(&mut bytes, EventId(7), time, Some(time), EventFlags::REPEATABLE);
        writer.text(TextField::Source, "gateway").client_ip("203.0.113.7".parse().unwrap()).status_code(403);
        writer.text(TextField::Host, "shop").text(TextField::Method, "GET").text(TextField::Path, "/a?q=1");
        writer.original(Original::Json(original));
        bytes
    }

    fn form(original: &str) -> Value {
        let bytes = event(original);
        serde_json::from_str(&anormal_json(&EventView::of(&bytes).unwrap()).unwrap()).unwrap()
    }

    #[track_caller]
    fn check(original: &str, expected: (i64, i64, &str)) {
        let form = form(original);
        let actual = (form["EventType"].as_i64(), form["Severity"].as_i64(), form["Description"].as_str());
        assert_eq!(actual, (Some(expected.0), Some(expected.1), Some(expected.2)), "{original}");
    }

    #[test]
    fn the_gravest_finding_is_the_type() {
        let of = |families: &str| {
            format!(r#"{{"http.attack_score":5,"http.families":[{families}],"http.evidence":["it stood there"]}}"#)
        };
        check(&of(r#""xss","sqli""#), (1, 3, "it stood there"));
        check(&of(r#""scanner","xss""#), (2, 3, "it stood there"));
        check(&of(r#""traversal""#), (20, 3, "it stood there"));
        check(&of(r#""scanner""#), (12, 1, "it stood there"));
        check(
            r#"{"http.crs_rules":[942100],"http.crs_evidence":["942100 in ARGS:q: x"]}"#,
            (20, 3, "942100 in ARGS:q: x"),
        );
        let decision = r#"{"http.decision":"bruteforce","http.action":"block"}"#;
        check(decision, (21, 0, "Decision of `bruteforce` enforced: block"));
        check(r#"{"http.findings":["bot/curl"]}"#, (13, 1, "GET /a?q=1 answered with 403"));
        check(r#"{"http.attack_score":4,"http.families":["sqli"]}"#, (0, 0, "GET /a?q=1 answered with 403"));
        check(r#"{"http.families":7,"http.evidence":{},"http.decision":[]}"#, (0, 0, "GET /a?q=1 answered with 403"));
    }

    #[test]
    fn the_request_is_a_text_that_holds_json() {
        let form = form(r#"{"http.request_id":"abc","http.action":"block","other":1}"#);
        assert_eq!((&form["Ip"], &form["RequestId"]), (&"203.0.113.7".into(), &"abc".into()));
        assert_eq!((&form["Path"], &form["StatusCode"]), (&"/a".into(), &403.into()));
        let request: Value = serde_json::from_str(form["Request"].as_str().unwrap()).unwrap();
        assert_eq!((&request["url"], &request["query"]), (&"shop/a?q=1".into(), &"q=1".into()));
        assert_eq!(request["extra"], json!({"http.request_id": "abc", "http.action": "block"}));
    }

    #[test]
    fn what_has_the_form_is_given_as_it_is_and_what_is_no_request_has_none() {
        let mut bytes = event("{}");
        let view = EventView::of(&bytes).unwrap();
        assert!(view.text(TextField::Format).is_none() && anormal_json(&view).is_some());
        bytes.clear();
        let mut writer = EventWriter::new(&mut bytes, EventId(7), Timestamp(0), None, 0);
        writer.text(TextField::Format, FORMAT).original(Original::Json(r#"{"EventType":21}"#));
        let view = EventView::of(&bytes).unwrap();
        assert_eq!(anormal_json(&view).as_deref(), Some(r#"{"EventType":21}"#));
        bytes.clear();
        let mut writer = EventWriter::new(&mut bytes, EventId(7), Timestamp(0), None, 0);
        writer.text(TextField::Message, "no request").original(Original::None);
        assert_eq!(anormal_json(&EventView::of(&bytes).unwrap()), None);
    }
}
