//! One request: how each part was read, and what was found there.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;

use attack::explain::forms;
use attack::inspector::{Inspector, Scratch};
use attack::report::{ATTACK_SCORE, Report};
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
    Inspector::new().inspect(request, &mut scratch, &mut report);
    let mut crs = asked.crs.as_ref().map(|it| Crs::load(it, asked.paranoia.unwrap_or(1), false)).transpose()?;
    if let Some(crs) = &mut crs {
        crs.evaluate(request);
    }
    let text = if is_json { as_json(&report, crs.as_ref()) } else { as_text(request, &report, crs.as_ref()) };
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
    });
    if let Some(crs) = crs {
        let rules: Vec<_> = crs.outcome.matches.iter().map(|it| it.id).collect();
        out["crs"] =
            json!({"blocked": crs.outcome.is_blocked, "anomaly_score": crs.outcome.anomaly_score, "rules": rules});
    }
    format!("{out}\n")
}

fn as_text(request: &Request<'_>, report: &Report, crs: Option<&Crs>) -> String {
    let mut out = String::new();
    for (name, value, is_form) in parts(request) {
        let forms = forms(value, is_form);
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

/// The parts of a request that can be shown one by one, under the names that findings give them.
fn parts<'a>(request: &Request<'a>) -> Vec<(String, &'a [u8], bool)> {
    let target = request.target;
    let question = target.iter().position(|it| *it == b'?');
    let (path, query) = question.map_or((target, &b""[..]), |it| (&target[..it], &target[it + 1..]));
    let mut parts = vec![("path".to_owned(), path, false)];
    for argument in query.split(|it| *it == b'&').filter(|it| !it.is_empty()) {
        let equals = argument.iter().position(|it| *it == b'=');
        let (name, value) = equals.map_or((&b""[..], argument), |it| (&argument[..it], &argument[it + 1..]));
        let name = String::from_utf8_lossy(name);
        let name = if name.is_empty() { "query".to_owned() } else { format!("query argument `{name}`") };
        parts.push((name, value, true));
    }
    for header in request.headers {
        parts.push((format!("header `{}`", header.name.to_ascii_lowercase()), header.value, false));
    }
    parts
}
