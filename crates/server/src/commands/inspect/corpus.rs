//! Files of labelled requests: what is found, what is taken for an attack and is none, and what it costs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::time::Instant;

use attack::inspector::{Inspector, Scratch};
use attack::report::{Report, Unread};
use attack::request::{Header, Request};
use serde_json::{Value, json};

use super::Asked;
use super::crs::Crs;
use crate::failure::Failure;
use crate::terminal;

/// Into how many parts a file is divided by the hash of the ids: a rule that fits a sample shows as a gap between them.
const FOLDS: usize = 5;

/// A labelled request.
struct Sample {
    id: String,
    is_attack: bool,
    category: String,
    method: String,
    uri: Vec<u8>,
    version: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    expected: Vec<u32>,
    unexpected: Vec<u32>,
}

impl Sample {
    fn headers(&self) -> Vec<Header<'_>> {
        self.headers.iter().map(|it| Header { name: &it.0, value: &it.1 }).collect()
    }

    fn request<'a>(&'a self, headers: &'a [Header<'a>]) -> Request<'a> {
        Request {
            method: &self.method,
            target: &self.uri,
            version: &self.version,
            headers,
            body: &self.body,
            has_all_headers: true,
        }
    }
}

/// What came of a file.
#[derive(Default)]
struct Tally {
    attacks: u64,
    found: u64,
    legitimate: u64,
    false_alarms: u64,
    families: BTreeMap<&'static str, u64>,
    expected_found: u64,
    expected: u64,
    unexpected_found: u64,
    unexpected: u64,
    /// Legitimate requests with a body, and those of them whose body was not read to its end.
    bodies: u64,
    unread: u64,
    nanoseconds: Vec<u64>,
    folds: [[u64; 4]; FOLDS],
}

/// Inspects the requests of each file.
pub(super) fn run(files: &[String], asked: &Asked, is_json: bool) -> Result<u8, Failure> {
    let failed = |it: std::io::Error| Failure::failed(format!("`--misses` cannot be written: {it}"));
    let mut misses = asked.misses.as_ref().map(File::create).transpose().map_err(failed)?.map(std::io::BufWriter::new);
    let mut told = Vec::new();
    for file in files {
        let tally = run_file(file, asked, misses.as_mut().map(|it| it as &mut dyn Write))?;
        if !is_json {
            terminal::print(&tally.as_text(file))?;
        }
        told.push(tally.as_json(file));
    }
    if let Some(misses) = &mut misses {
        misses.flush().map_err(failed)?;
    }
    if is_json {
        terminal::print(&format!("{}\n", json!({"files": told})))?;
    }
    Ok(0)
}

fn run_file(file: &str, asked: &Asked, mut misses: Option<&mut dyn Write>) -> Result<Tally, Failure> {
    let samples = read(file)?;
    let is_regression = samples.iter().any(|it| !it.expected.is_empty() || !it.unexpected.is_empty());
    let level = asked.paranoia.unwrap_or(if is_regression { 4 } else { 1 });
    let mut crs = asked.crs.as_ref().map(|it| Crs::load(it, level, is_regression)).transpose()?;
    if let Some(crs) = &crs {
        crs.refused.iter().for_each(|it| tracing::warn!("Rule not understood: {it}"));
        tracing::info!(rules = crs.rules(), of_responses = crs.of_responses, level, "Loaded the Core Rule Set");
    }
    let (inspector, mut scratch, mut report) = (Inspector::new(), Scratch::default(), Report::default());
    let mut tally = Tally::default();
    for sample in &samples {
        let headers = sample.headers();
        let request = sample.request(&headers);
        let started = Instant::now();
        inspector.inspect(&request, &mut scratch, &mut report);
        if let Some(crs) = &mut crs {
            crs.evaluate(&request);
        }
        tally.nanoseconds.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let is_found = tally.count(sample, &report, crs.as_ref());
        if is_found != sample.is_attack
            && let Some(out) = misses.as_deref_mut()
        {
            let findings: Vec<_> = report.findings.iter().map(|it| it.sentence()).collect();
            let line = json!({
                "id": sample.id, "label": u8::from(sample.is_attack), "cat": sample.category, "method": sample.method,
                "uri": String::from_utf8_lossy(&sample.uri), "findings": findings,
                "body_unread": report.unread.map(Unread::as_str),
            });
            writeln!(out, "{line}").map_err(|it| Failure::failed(format!("`--misses` cannot be written: {it}")))?;
        }
    }
    tally.nanoseconds.sort_unstable();
    Ok(tally)
}

impl Tally {
    /// Counts one request; returns whether it was taken for an attack.
    fn count(&mut self, sample: &Sample, report: &Report, crs: Option<&Crs>) -> bool {
        let matched = |ids: &[u32]| crs.map_or(0, |crs| ids.iter().filter(|it| crs.has_matched(**it)).count() as u64);
        self.expected += sample.expected.len() as u64;
        self.expected_found += matched(&sample.expected);
        self.unexpected += sample.unexpected.len() as u64;
        self.unexpected_found += matched(&sample.unexpected);
        let names_rules = !sample.expected.is_empty() || !sample.unexpected.is_empty();
        let is_found = match crs {
            // Such a request is about its rules: others may well match.
            Some(_) if names_rules && sample.is_attack => 0 < matched(&sample.expected),
            Some(_) if names_rules => 0 < matched(&sample.unexpected),
            Some(crs) => report.is_attack() || crs.outcome.is_blocked,
            None => report.is_attack(),
        };
        if is_found {
            report.families().iter().for_each(|it| *self.families.entry(it.as_str()).or_default() += 1);
        }
        if !sample.is_attack && !sample.body.is_empty() {
            self.bodies += 1;
            self.unread += u64::from(report.unread.is_some());
        }
        let fold = &mut self.folds[fold_of(&sample.id)];
        let (all, hits) = if sample.is_attack {
            (&mut self.attacks, &mut self.found)
        } else {
            (&mut self.legitimate, &mut self.false_alarms)
        };
        let side = if sample.is_attack { 0 } else { 2 };
        *all += 1;
        *hits += u64::from(is_found);
        fold[side] += 1;
        fold[side + 1] += u64::from(is_found);
        is_found
    }

    fn percentile(&self, share: f64) -> u64 {
        let at = (self.nanoseconds.len() as f64 * share) as usize;
        self.nanoseconds.get(at.min(self.nanoseconds.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    fn mean(&self) -> u64 {
        self.nanoseconds.iter().sum::<u64>() / self.nanoseconds.len().max(1) as u64
    }

    fn rates(&self, side: usize) -> Vec<f64> {
        let rate = |it: &[u64; 4]| 100.0 * it[side + 1] as f64 / it[side].max(1) as f64;
        self.folds.iter().filter(|it| 0 < it[side]).map(rate).collect()
    }

    fn as_json(&self, file: &str) -> Value {
        json!({
            "file": file, "attacks": self.attacks, "found": self.found, "legitimate": self.legitimate,
            "false_alarms": self.false_alarms, "bodies": self.bodies, "bodies_unread": self.unread, "families": self.families,
            "expected_ids_found": self.expected_found, "expected_ids_total": self.expected,
            "unexpected_ids_found": self.unexpected_found, "unexpected_ids_total": self.unexpected,
            "folds": {"found_percent": self.rates(0), "false_alarms_percent": self.rates(2)},
            "ns": {"p50": self.percentile(0.5), "mean": self.mean(), "p99": self.percentile(0.99)},
        })
    }

    fn as_text(&self, file: &str) -> String {
        let share = |part: u64, all: u64| 100.0 * part as f64 / all.max(1) as f64;
        let gap = |rates: Vec<f64>| {
            let (low, high) = rates.iter().fold((f64::MAX, 0.0_f64), |it, rate| (it.0.min(*rate), it.1.max(*rate)));
            if rates.is_empty() { 0.0 } else { high - low }
        };
        let mut out = format!(
            "{}\n  attacks      {:>7}   found        {:>7}   {:.2} %   (five folds differ by {:.2})\n  legitimate   {:>7}   false alarms {:>7}   {:.3} %  (five folds differ by {:.3})\n",
            terminal::line(file),
            self.attacks,
            self.found,
            share(self.found, self.attacks),
            gap(self.rates(0)),
            self.legitimate,
            self.false_alarms,
            share(self.false_alarms, self.legitimate),
            gap(self.rates(2)),
        );
        if 0 < self.bodies {
            out.push_str(&format!(
                "  bodies       {:>7}   not read     {:>7}   of the legitimate\n",
                self.bodies, self.unread
            ));
        }
        if 0 < self.expected + self.unexpected {
            out.push_str(&format!(
                "  rules expected {} found {}, rules not expected {} found {}\n",
                self.expected, self.expected_found, self.unexpected, self.unexpected_found
            ));
        }
        let families: Vec<_> = self.families.iter().map(|(name, count)| format!("{name} {count}")).collect();
        out.push_str(&format!("  families     {}\n", families.join(", ")));
        out.push_str(&format!(
            "  microseconds p50 {:.1}, mean {:.1}, p99 {:.1}\n",
            self.percentile(0.5) as f64 / 1e3,
            self.mean() as f64 / 1e3,
            self.percentile(0.99) as f64 / 1e3
        ));
        out
    }
}

fn fold_of(id: &str) -> usize {
    (model::id::digest128(&[id.as_bytes()]) % FOLDS as u128) as usize
}

fn read(file: &str) -> Result<Vec<Sample>, Failure> {
    let unusable = |it: &dyn std::fmt::Display| Failure::unusable(format!("`{file}` cannot be read: {it}"));
    let opened = File::open(file).map_err(|it| unusable(&it))?;
    let bytes: Box<dyn Read> =
        if file.ends_with(".xz") { Box::new(lzma_rust2::XzReader::new(opened, true)) } else { Box::new(opened) };
    let mut samples = Vec::new();
    for (number, line) in BufReader::new(bytes).lines().enumerate() {
        let line = line.map_err(|it| unusable(&it))?;
        if line.trim().is_empty() {
            continue;
        }
        let sample = serde_json::from_str(&line).ok().and_then(|it| sample(&it));
        samples.push(sample.ok_or_else(|| {
            unusable(&format!("line {} is no labelled request; `bartizan inspect --help` shows one", number + 1))
        })?);
    }
    Ok(samples)
}

fn sample(value: &Value) -> Option<Sample> {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let ids = |key: &str| -> Vec<u32> {
        let ids = value[key].as_array().map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|it| it.as_u64()?.try_into().ok()).collect()
    };
    let headers =
        value["headers"].as_array()?.iter().map(|it| Some((it[0].as_str()?.to_owned(), bytes(it[1].as_str()?))));
    Some(Sample {
        id: text("id"),
        is_attack: value["label"].as_u64()? == 1,
        category: text("cat"),
        method: text("method"),
        uri: bytes(value["uri"].as_str()?),
        version: text("proto"),
        headers: headers.collect::<Option<_>>()?,
        body: base64(value["body"].as_str().unwrap_or_default())?,
        expected: ids("expect"),
        unexpected: ids("noexpect"),
    })
}

/// The bytes of a text in which each character may stand for a byte; of other texts, their UTF-8.
fn bytes(text: &str) -> Vec<u8> {
    let narrow: Option<Vec<u8>> = text.chars().map(|it| u8::try_from(it).ok()).collect();
    narrow.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if 8 <= count {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_labelled_request() {
        let line = r#"{"id":"1","label":1,"cat":"sqli","method":"GET","uri":"/?q=é","proto":"HTTP/1.1","headers":[["Host","x"]],"body":"YWI=","expect":[942100],"noexpect":[]}"#;
        let sample = sample(&serde_json::from_str(line).unwrap()).unwrap();
        assert_eq!(
            (sample.is_attack, sample.uri.as_slice(), sample.body.as_slice()),
            (true, &b"/?q=\xe9"[..], &b"ab"[..])
        );
        assert_eq!((sample.expected, sample.unexpected), (vec![942_100], vec![]));
        assert_eq!(base64("!"), None);
    }

    /// Files of labelled requests in `BARTIZAN_DATA/http`, where there are any.
    fn corpora() -> Vec<String> {
        let Some(data) = std::env::var_os("BARTIZAN_DATA") else { return Vec::new() };
        let listed = std::fs::read_dir(std::path::Path::new(&data).join("http")).into_iter().flatten().flatten();
        listed.map(|it| it.path().display().to_string()).filter(|it| it.ends_with(".jsonl.xz")).collect()
    }

    #[test]
    fn the_scan_loses_nothing_of_the_corpora() {
        let (fast, slow) = (Inspector::new(), Inspector::exhaustive());
        let (mut scratch, mut found, mut expected) = (Scratch::default(), Report::default(), Report::default());
        for file in corpora() {
            for sample in read(&file).unwrap() {
                let headers = sample.headers();
                fast.inspect(&sample.request(&headers), &mut scratch, &mut found);
                slow.inspect(&sample.request(&headers), &mut Scratch::default(), &mut expected);
                // A full report leaves out what came last, and the slow way comes to other things first.
                let is_full = attack::report::FINDINGS_MAX <= expected.findings.len();
                for finding in expected.findings.iter().filter(|_| !is_full) {
                    let is_found =
                        found.findings.iter().any(|it| it.name() == finding.name() && it.place == finding.place);
                    assert!(is_found, "{file}, {}: {}", sample.id, finding.sentence());
                }
            }
        }
    }
}
