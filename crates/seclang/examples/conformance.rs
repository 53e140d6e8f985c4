//! Runs the regression requests of a rule set and says, for each family, how many rules did what they should.
//!
//! `BARTIZAN_DATA` names a folder with `crs/rules/*.conf`, their data files and `http/crs-regression.jsonl`. With
//! `--cost LEVEL FILE` it measures instead what the requests of another file cost, with `--proof FILE` it runs every pattern
//! over every part of them and says what the prefilter would have lost.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "an example reads files and clocks, and prints")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use attack::request::{Header, Request};
use seclang::detectors::Plain;
use seclang::evaluate::Scratch;
use seclang::load::{self, Refused};
use seclang::outcome::Outcome;
use seclang::rule_set::RuleSet;
use seclang::settings::Settings;
use serde_json::Value;

/// What the regression requests expect of the set-up, over and above its defaults.
const SET_UP: &str = "SecAction \"id:900300,phase:1,pass,nolog,setvar:tx.max_num_args=255,setvar:tx.arg_name_length=100,\
                      setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_file_size=64100,\
                      setvar:tx.combined_file_sizes=65535\"";

/// A request of a file, and which rules must match and must not.
struct Sample {
    id: String,
    method: String,
    uri: Vec<u8>,
    version: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    expected: BTreeSet<u32>,
    unexpected: BTreeSet<u32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let data = PathBuf::from(std::env::var("BARTIZAN_DATA").map_err(|_| "BARTIZAN_DATA names no folder")?);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => conform(&data),
        [flag, level, file] if flag == "--cost" => cost(&data, level.parse()?, Path::new(file)),
        [flag, id] if flag == "--show" => show(&data, id),
        [flag, file] if flag == "--proof" => prove(&data, Path::new(file)),
        _ => Err("usage: conformance [--cost LEVEL FILE | --proof FILE | --show ID]".into()),
    }
}

fn rules(data: &Path, level: u8, set_up: &str) -> Result<(RuleSet, Vec<Refused>), Box<dyn Error>> {
    let folder = data.join("crs/rules");
    let mut names: Vec<PathBuf> = fs::read_dir(&folder)?.map(|it| it.map(|it| it.path())).collect::<Result<_, _>>()?;
    names.retain(|it| it.extension().is_some_and(|it| it == "conf"));
    names.sort();
    names.insert(0, data.join("crs/crs-setup.conf.example"));
    let texts = names.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> =
        names.iter().map(|it| it.file_name().unwrap_or_default().to_string_lossy().into()).collect();
    let texts: Vec<String> = std::iter::once(set_up.to_owned()).chain(texts).collect();
    let names: Vec<String> = std::iter::once("set-up".to_owned()).chain(names).collect();
    let files: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let settings = Settings { paranoia_level: Some(level), ..Settings::default() };
    let data_file = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let start = Instant::now();
    let loaded = load::load(&files, &data_file, &settings);
    println!(
        "{} rules run, {} are above level {level}; loaded in {:?}",
        loaded.0.len(),
        loaded.0.left_out(),
        start.elapsed()
    );
    Ok(loaded)
}

fn samples(path: &Path) -> Result<Vec<Sample>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines().map(|it| Ok(sample(&serde_json::from_str(it)?))).collect()
}

fn sample(value: &Value) -> Sample {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    // Each character stands for a byte.
    let bytes = |it: &Value| text(it).chars().map(|it| u8::try_from(it).unwrap_or(b'?')).collect::<Vec<u8>>();
    let array = |it: &Value| it.as_array().cloned().unwrap_or_default();
    let ids = |it: &Value| array(it).iter().filter_map(|it| u32::try_from(it.as_u64()?).ok()).collect();
    Sample {
        id: text(&value["id"]),
        method: text(&value["method"]),
        uri: bytes(&value["uri"]),
        version: text(&value["proto"]),
        headers: array(&value["headers"]).iter().map(|it| (text(&it[0]), bytes(&it[1]))).collect(),
        body: base64(&text(&value["body"])),
        expected: ids(&value["expect"]),
        unexpected: ids(&value["noexpect"]),
    }
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values = text.bytes().filter_map(|it| ALPHABET.iter().position(|at| *at == it));
    let bits: Vec<bool> = values.flat_map(|value| (0..6).rev().map(move |it| value >> it & 1 == 1)).collect();
    bits.chunks_exact(8).map(|it| it.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect()
}

impl Sample {
    fn evaluate(&self, has_all_headers: bool, set: &RuleSet, scratch: &mut Scratch, outcome: &mut Outcome) {
        let bytes: Vec<Header> = self.headers.iter().map(|it| Header { name: &it.0, value: &it.1 }).collect();
        let request = Request {
            method: &self.method,
            target: &self.uri,
            version: &self.version,
            headers: &bytes,
            body: &self.body,
            has_all_headers,
        };
        set.evaluate(&request, None, &Plain, scratch, outcome);
    }
}

#[derive(Default)]
struct Tally {
    positives: usize,
    found: usize,
    negatives: usize,
    kept: usize,
    failures: Vec<String>,
}

fn conform(data: &Path) -> Result<(), Box<dyn Error>> {
    let (set, refused) = rules(data, 4, SET_UP)?;
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for it in &refused {
        *reasons.entry(&it.reason).or_default() += 1;
        if !it.reason.starts_with("not evaluated: response") {
            println!("refused {}:{} rule {:?}: {}", it.file, it.line, it.rule, it.reason);
        }
    }
    println!("refused, by reason: {reasons:?}");
    let (mut scratch, mut outcome) = (Scratch::default(), Outcome::default());
    let mut tallies: BTreeMap<u32, Tally> = BTreeMap::new();
    for sample in samples(&data.join("http/crs-regression.jsonl"))? {
        sample.evaluate(true, &set, &mut scratch, &mut outcome);
        let matched: BTreeSet<u32> = outcome.matches.iter().map(|it| it.id).collect();
        let Some(first) = sample.expected.iter().chain(&sample.unexpected).next() else { continue };
        let tally = tallies.entry(first / 1000).or_default();
        let missing: Vec<_> = sample.expected.difference(&matched).collect();
        let wrong: Vec<_> = sample.unexpected.intersection(&matched).collect();
        let is_right = missing.is_empty() && wrong.is_empty();
        if sample.expected.is_empty() {
            tally.negatives += 1;
            tally.kept += usize::from(is_right);
        } else {
            tally.positives += 1;
            tally.found += usize::from(is_right);
        }
        if !is_right {
            tally.failures.push(format!("{} misses {missing:?}, has {wrong:?}", sample.id));
        }
    }
    print(&tallies);
    Ok(())
}

fn print(tallies: &BTreeMap<u32, Tally>) {
    for (family, tally) in tallies {
        for failure in &tally.failures {
            println!("{family}: {failure}");
        }
    }
    let line = |name: &str, all: &[&Tally]| {
        let sum = |of: fn(&Tally) -> usize| all.iter().map(|it| of(it)).sum::<usize>();
        let (found, positives) = (sum(|it| it.found), sum(|it| it.positives));
        let (kept, negatives) = (sum(|it| it.kept), sum(|it| it.negatives));
        println!("{name:>8}  found {found:>4} of {positives:>4}  kept quiet {kept:>4} of {negatives:>4}");
    };
    for (family, tally) in tallies {
        line(&family.to_string(), &[tally]);
    }
    let attacks: Vec<&Tally> = tallies.iter().filter(|it| (930..=944).contains(it.0)).map(|it| it.1).collect();
    line("93x-94x", &attacks);
    let attacks: Vec<&Tally> = tallies.iter().filter(|it| (921..=944).contains(it.0)).map(|it| it.1).collect();
    line("92[12]-94x", &attacks);
    line("all", &tallies.values().collect::<Vec<_>>());
}

fn show(data: &Path, id: &str) -> Result<(), Box<dyn Error>> {
    let (set, _) = rules(data, 4, SET_UP)?;
    let (mut scratch, mut outcome) = (Scratch::default(), Outcome::default());
    for sample in samples(&data.join("http/crs-regression.jsonl"))?.iter().filter(|it| it.id == id) {
        sample.evaluate(true, &set, &mut scratch, &mut outcome);
        println!("{} {}", sample.method, sample.uri.escape_ascii());
        for (name, value) in &sample.headers {
            println!("{name}: {}", value.escape_ascii());
        }
        println!("{}", sample.body.escape_ascii());
        for it in &outcome.matches {
            println!("{} {} [{}] {}", it.id, it.target, it.excerpt, it.message);
        }
        println!("score {} blocked {} truncated {}", outcome.anomaly_score, outcome.is_blocked, outcome.is_truncated);
    }
    Ok(())
}

/// Runs every pattern over every part of requests, and says what the prefilter would have lost.
fn prove(data: &Path, file: &Path) -> Result<(), Box<dyn Error>> {
    let (set, _) = rules(data, 4, "")?;
    let mut texts = BTreeSet::new();
    for sample in samples(file)? {
        texts.extend(sample.headers.iter().map(|it| it.1.clone()));
        for whole in [&sample.uri, &sample.body] {
            texts.extend(whole.split(|it| b"?&=\n".contains(it)).map(<[u8]>::to_vec));
            texts.insert(whole.iter().copied().take(4096).collect());
        }
    }
    let mut lost: BTreeMap<u32, usize> = BTreeMap::new();
    for text in &texts {
        for rule in set.lost_by_prefilter(text) {
            *lost.entry(rule).or_default() += 1;
        }
    }
    println!("{} texts, {} rules; lost, by rule: {lost:?}", texts.len(), set.len());
    Ok(())
}

/// Measures what requests cost: each file of samples as it is, and as an access log has it.
fn cost(data: &Path, level: u8, file: &Path) -> Result<(), Box<dyn Error>> {
    let (set, _) = rules(data, level, "")?;
    let mut samples = samples(file)?;
    let measure = |name: &str, has_all_headers: bool, samples: &[Sample]| {
        let (mut scratch, mut outcome) = (Scratch::default(), Outcome::default());
        let mut times: Vec<u64> = Vec::new();
        let (mut blocked, mut bytes) = (0_usize, 0);
        for round in 0..3 {
            for sample in samples {
                let start = Instant::now();
                sample.evaluate(has_all_headers, &set, &mut scratch, &mut outcome);
                if round == 2 {
                    times.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
                    blocked += usize::from(outcome.is_blocked);
                    bytes += sample.uri.len() + sample.body.len();
                }
            }
        }
        times.sort_unstable();
        let count = times.len().max(1);
        let at = |part: usize| times.get((times.len() * part / 1000).min(count - 1)).copied().unwrap_or(0);
        println!(
            "{name}: {count} requests, {} B each, {blocked} blocked; mean {} ns, p50 {}, p99 {}, worst {}",
            bytes / count,
            times.iter().sum::<u64>() / count as u64,
            at(500),
            at(990),
            at(1000)
        );
    };
    measure("whole", true, &samples);
    for sample in &mut samples {
        sample.body.clear();
        sample.headers.retain(|it| ["user-agent", "referer"].contains(&it.0.to_ascii_lowercase().as_str()));
    }
    measure("as a log has it", false, &samples);
    Ok(())
}
