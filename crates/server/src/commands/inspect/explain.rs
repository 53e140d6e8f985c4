//! One request: how each part was read, and what was found there.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;

use attack::explain::{Value, forms};
use attack::inspector::{Inspector, Scratch};
use attack::report::{ATTACK_SCORE, Report, Unread};
use attack::request::{Header, Request};
use serde_json::json;

use super::Asked;
use super::crs::Crs;
use crate::failure::Failure;
use crate::terminal;

/// The largest request that is read.
const REQUEST_BYTES_MAX: u64 = 64 << 20;

/// Inspects a target.
pub(super) fn target(target: &str, asked: &Asked, is_json: bool) -> Result<u8, Failure> {
    let request = Request { method: "GET", target: target.as_bytes(), version: "HTTP/1.1", ..Request::default() };
    tell(&request, asked, is_json)
}

/// Inspects a request as it was sent.
pub(super) fn raw(path: &Path, asked: &Asked, is_json: bool) -> Result<u8, Failure> {
    let unusable = |it: std::io::Error| Failure::unusable(format!("`{}` cannot be read: {it}", path.display()));
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(REQUEST_BYTES_MAX).read_to_end(&mut bytes).map_err(unusable)?;
    } else {
        std::fs::File::open(path)
            .map_err(unusable)?
            .take(REQUEST_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(unusable)?;
    }
    let (head, body) = match find(&bytes, b"\r\n\r\n") {
        Some(at) => (&bytes[..at], &bytes[at + 4..]),
        None => match find(&bytes, b"\n\n") {
            Some(at) => (&bytes[..at], &bytes[at + 2..]),
            None => (&bytes[..], &b""[..]),
        },
    };
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.lines();
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target @ .., version] = words.as_slice() else {
        return Err(Failure::usage("the first line must be a request line, such as `GET /path HTTP/1.1`"));
    };
    if target.is_empty() || !version.starts_with("HTTP/") {
        return Err(Failure::usage("the first line must be a request line, such as `GET /path HTTP/1.1`"));
    }
    let target = target.join(" ");
    let headers: Vec<Header<'_>> = lines
        .filter_map(|it| it.split_once(':'))
        .map(|(name, value)| Header { name: name.trim(), value: value.trim().as_bytes() })
        .collect();
    let request =
        Request { method, target: target.as_bytes(), version, headers: &headers, body, has_all_headers: true };
    tell(&request, asked, is_json)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|it| it == part)
}

fn tell(request: &Request<'_>, asked: &Asked, is_json: bool) -> Result<u8, Failure> {
    let (mut scratch, mut report) = (Scratch::default(), Report::default());
    let values = Inspector::new().explain(request, &mut scratch, &mut report);
    let mut crs = asked.crs.as_ref().map(|it| Crs::load(it, asked.paranoia.unwrap_or(1), false)).transpose()?;
    if let Some(crs) = &mut crs {
        crs.evaluate(request);
    }
    let text = if is_json { as_json(&report, crs.as_ref()) } else { as_text(&values, &report, crs.as_ref()) };
    terminal::print(&text)?;
    Ok(0)
}

fn as_json(report: &Report, crs: Option<&Crs>) -> String {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|it| {
            json!({
                "family": it.family.as_str(), "check": it.check, "place": it.place.to_string(), "excerpt": it.excerpt,
                "confidence": it.confidence, "score": it.score,
            })
        })
        .collect();
    let mut out = json!({
        "attack": report.is_attack(), "attack_score": report.attack_score, "bot_score": report.bot_score, "findings": findings,
        "body_unread": report.unread.map(Unread::as_str),
    });
    if let Some(crs) = crs {
        let rules: Vec<_> = crs.outcome.matches.iter().map(|it| it.id).collect();
        out["crs"] =
            json!({"blocked": crs.outcome.is_blocked, "anomaly_score": crs.outcome.anomaly_score, "rules": rules});
    }
    format!("{out}\n")
}

fn as_text(values: &[Value], report: &Report, crs: Option<&Crs>) -> String {
    let mut out = String::new();
    for value in values {
        let (name, forms) = (value.place.to_string(), forms(&value.text, value.is_form));
        if forms.len() < 2 && !report.findings.iter().any(|it| it.place.to_string() == name) {
            continue;
        }
        let _ = writeln!(out, "{}", terminal::line(&name));
        for form in forms {
            let _ = writeln!(out, "  {:<26} {}", form.step, terminal::line(&String::from_utf8_lossy(&form.text)));
        }
    }
    if !report.findings.is_empty() {
        let _ = writeln!(out, "{}findings", if out.is_empty() { "" } else { "\n" });
    }
    for finding in &report.findings {
        let _ = writeln!(
            out,
            "  {:<34} score {}, confidence {}, in {}\n    {}",
            finding.name(),
            finding.score,
            finding.confidence,
            terminal::line(&finding.place.to_string()),
            terminal::line(&finding.excerpt),
        );
    }
    let verdict = if report.is_attack() { "taken for an attack" } else { "not taken for an attack" };
    let _ = writeln!(
        out,
        "\nattack score {}: {verdict} ({ATTACK_SCORE} and above is one); bot score {}",
        report.attack_score, report.bot_score
    );
    if let Some(unread) = report.unread {
        let _ = writeln!(out, "the body was not read to its end: {}", unread.as_str());
    }
    if let Some(crs) = crs {
        let _ = writeln!(
            out,
            "\nCore Rule Set: anomaly score {}, {}",
            crs.outcome.anomaly_score,
            if crs.outcome.is_blocked { "blocked" } else { "passed" }
        );
        for rule in &crs.outcome.matches {
            let _ = writeln!(out, "  {} {}", rule.id, terminal::line(&rule.message));
        }
        crs.refused.iter().for_each(|it| {
            let _ = writeln!(out, "  not understood: {}", terminal::line(it));
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(head: &[Header<'_>], body: &[u8]) -> (String, String) {
        let request = Request { method: "POST", target: b"/", headers: head, body, ..Request::default() };
        let mut report = Report::default();
        let values = Inspector::new().explain(&request, &mut Scratch::default(), &mut report);
        (as_text(&values, &report, None), as_json(&report, None))
    }

    #[test]
    fn shows_how_bodies_and_cookies_were_read() {
        let form = Header { name: "Content-Type", value: b"application/x-www-form-urlencoded" };
        let cookie = Header { name: "Cookie", value: b"id=%27a" };
        let (text, json) = text_of(&[form, cookie], b"q=%2527");
        for expected in ["body field `q`", "%27\n", "cookie `id`", "'a\n"] {
            assert!(text.contains(expected), "{text}");
        }
        assert!(!text.contains("not read") && json.contains("\"body_unread\":null"), "{text}{json}");
        let json = Header { name: "Content-Type", value: b"application/json" };
        let (text, _) = text_of(&[json], br#"{"user":{"name":"%3Cb%3E"}}"#);
        assert!(text.contains("body field `user.name`") && text.contains("<b>"), "{text}");
    }

    #[test]
    fn says_what_was_not_read() {
        let coding = Header { name: "Content-Encoding", value: b"br" };
        let (text, json) = text_of(&[coding], b"x");
        assert!(text.contains("not read to its end: encoding"), "{text}");
        assert!(json.contains("\"body_unread\":\"encoding\""), "{json}");
    }
}
