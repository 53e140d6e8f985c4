//! The metrics as Prometheus reads them, text format 0.0.4.
//!
//! Labels hold names that an operator chose: rules, detectors, inputs. No address, path or user, and a bounded number.

mod brokers;
mod gateway;

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

use backends::log::Damage;
use hyper::StatusCode;
use model::time::Timestamp;
use pipeline::ingest::Queued;
use pipeline::ledger::{Book, Counts};
use web::answer::Answer;
use web::route::Request;

use crate::state::{Console, ReadError};
use crate::status::{Deliveries, Raised, Status};

/// The media type. Source: Prometheus, "Exposition formats".
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How many inputs have a label of their own; the rest is together `other`.
const INPUTS_MAX: usize = 200;
/// How many rules have a label of their own: more than any published rule set has.
const RULES_MAX: usize = 10_000;
/// How many bouncers have a label of their own.
const BOUNCERS_MAX: usize = 200;
/// The label of what is beyond a limit.
const OTHER: &str = "other";
/// The label of all rules of other tools: their names come with the events, so a sender could make any number.
const FINDING: &str = "finding";

/// What is measured, gathered from all who know.
struct Measured {
    status: Status,
    book: Book,
    queue: (usize, usize),
    queued: BTreeMap<String, Queued>,
    log_bytes: u64,
    store_bytes: Option<u64>,
    damage: Damage,
    resident_bytes: Option<u64>,
    now: Timestamp,
}

/// Answers all metrics.
pub(crate) async fn get(state: Arc<Console>, _: Request) -> Answer {
    match state.ask(|state| Ok::<_, ReadError>(text_of(&measure(state)))).await {
        Ok(text) => Answer::new(StatusCode::OK, MEDIA_TYPE, text),
        Err(error) => error.problem(),
    }
}

fn measure(state: &Console) -> Measured {
    Measured {
        status: (state.status)(),
        book: state.ledger.book().clone(),
        queue: state.ingest.depth(),
        queued: state.ingest.queued(),
        log_bytes: state.log.size_bytes(),
        store_bytes: state.store.size_bytes().ok(),
        damage: state.log.damage(),
        resident_bytes: resident_bytes(),
        now: Console::now(),
    }
}

/// The resident memory of this process; `None` where the system does not say.
///
/// Source: proc(5), `/proc/pid/status`, `VmRSS`: in kB, whatever the size of a page is.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn text_of(measured: &Measured) -> String {
    let mut page = Exposition::default();
    intake(&mut page, measured);
    detection(&mut page, measured);
    if let Some(it) = &measured.status.gateway {
        gateway::write(&mut page, it);
    }
    deliveries(&mut page, &measured.status.deliveries);
    brokers::write(&mut page, &measured.status);
    rtg(&mut page, measured);
    bouncers(&mut page, &measured.status);
    process(&mut page, measured);
    page.0
}

fn intake(page: &mut Exposition, measured: &Measured) {
    page.family("bartizan_ingest_records_total", "counter", "Records that came in, by input and what became of them.");
    for (input, counts) in labelled_inputs(&measured.book) {
        for (outcome, count) in outcomes(&counts) {
            page.sample("bartizan_ingest_records_total", &[("input", &input), ("outcome", outcome)], count);
        }
    }
    let counter = "Requests refused before records could be told apart.";
    page.single("bartizan_ingest_refused_requests_total", "counter", counter, measured.book.refused_requests);
    page.single("bartizan_ingest_queue_depth", "gauge", "Submissions that wait to be written.", measured.queue.0);
    page.single("bartizan_ingest_queue_bytes", "gauge", "Bytes that wait to be written.", measured.queue.1);
    waiting(page, measured);
    page.single("bartizan_log_size_bytes", "gauge", "The size of the log.", measured.log_bytes);
    if let Some(bytes) = measured.store_bytes {
        page.single("bartizan_store_size_bytes", "gauge", "The size of the store.", bytes);
    }
    let damaged = "Places of the log that cannot be read.";
    page.single("bartizan_log_damaged_places", "gauge", damaged, measured.damage.damaged_places);
}

/// What waits of each input: to be written, and to be detected on.
fn waiting(page: &mut Exposition, measured: &Measured) {
    let labelled: Vec<String> = labelled_inputs(&measured.book).into_keys().collect();
    let known = |input: &str| {
        let label = label_of_input(input);
        if labelled.contains(&label) { label } else { OTHER.to_owned() }
    };
    let mut queued: BTreeMap<String, Queued> = labelled.iter().map(|it| (it.clone(), Queued::default())).collect();
    for (input, more) in &measured.queued {
        let sum = queued.entry(known(input)).or_default();
        sum.submissions += more.submissions;
        sum.oldest = sum.oldest.max(more.oldest);
    }
    let (depth, oldest) = ("bartizan_input_queued_submissions", "bartizan_input_queued_oldest_seconds");
    page.family(depth, "gauge", "Submissions that wait to be written, by input.");
    queued.iter().for_each(|(input, it)| page.sample(depth, &[("input", input)], it.submissions));
    page.family(oldest, "gauge", "How long the oldest submission waits to be written, by input.");
    queued.iter().for_each(|(input, it)| page.sample(oldest, &[("input", input)], it.oldest.as_secs_f64()));
    let mut lags: BTreeMap<String, (u64, Duration)> =
        labelled.iter().map(|it| (it.clone(), Default::default())).collect();
    for (input, pending) in &measured.book.pending {
        let lag = lags.entry(known(input)).or_default();
        *lag = (lag.0 + pending.events(), lag.1.max(pending.oldest_age(measured.now)));
    }
    let (events, oldest) = ("bartizan_input_lag_events", "bartizan_input_lag_oldest_seconds");
    page.family(events, "gauge", "Events that are stored and not yet through detection, by input.");
    lags.iter().for_each(|(input, it)| page.sample(events, &[("input", input)], it.0));
    page.family(oldest, "gauge", "How long the oldest of them waits, by input.");
    lags.iter().for_each(|(input, it)| page.sample(oldest, &[("input", input)], it.1.as_secs_f64()));
}

fn detection(page: &mut Exposition, measured: &Measured) {
    let status = &measured.status;
    let lag = "Events that are stored and not yet through detection.";
    page.single("bartizan_lag_events", "gauge", lag, measured.book.lag_events());
    let counters = [
        ("bartizan_detected_events_total", "Events that went through detection.", status.events_detected),
        ("bartizan_late_events_total", "Events too late for the windows.", status.late),
        ("bartizan_ahead_events_total", "Events too far ahead of their receipt.", status.ahead),
        ("bartizan_evicted_keys_total", "Keys that windows gave up for want of memory.", status.evicted_keys),
    ];
    for (name, help, value) in counters {
        page.single(name, "counter", help, value);
    }
    page.single("bartizan_rules_loaded", "gauge", "Rules in force.", status.rules_loaded);
    page.single("bartizan_rules_refused", "gauge", "Rules that could not be compiled.", status.rules_refused);
    let suspended = "Rules that are not evaluated because they cost too much.";
    page.single("bartizan_rules_suspended", "gauge", suspended, status.rules_suspended);
    if let Some(age) = status.snapshot_age {
        page.single("bartizan_snapshot_age_seconds", "gauge", "The age of the newest snapshot.", age.as_secs_f64());
    }
    page.family("bartizan_alerts_total", "counter", "Alerts raised, by rule and severity.");
    for ((rule, severity), count) in alerts_by_rule(status) {
        page.sample("bartizan_alerts_total", &[("rule", &rule), ("severity", severity)], count);
    }
    page.family("bartizan_rule_matches_total", "counter", "Events that matched a rule.");
    for (rule, count) in summed(status.matches.iter().map(|(rule, count)| (label_of_rule(rule), *count))) {
        page.sample("bartizan_rule_matches_total", &[("rule", &rule)], count);
    }
}

/// What became of messages. Destinations are named by the operator, and there is a bounded number of them.
fn deliveries(page: &mut Exposition, deliveries: &[Deliveries]) {
    type Read = fn(&Deliveries) -> f64;
    let families: [(&str, &str, &str, Read); 8] = [
        ("waiting", "gauge", "Messages that wait.", |it| it.waiting as f64),
        ("oldest_seconds", "gauge", "How long the oldest message waits.", |it| {
            it.oldest.unwrap_or_default().as_secs_f64()
        }),
        ("dead_letters", "gauge", "Messages that are not tried again by themselves.", |it| it.dead as f64),
        ("delivered_total", "counter", "Messages that have arrived.", |it| it.delivered as f64),
        ("failed_attempts_total", "counter", "Attempts that failed and are repeated.", |it| it.failed as f64),
        ("refused_total", "counter", "Messages that were refused for good.", |it| it.refused as f64),
        ("repeated_total", "counter", "Messages sent that may have arrived before.", |it| it.repeated as f64),
        ("breaker_open", "gauge", "Whether a destination is left alone for a while.", |it| {
            f64::from(u8::from(it.is_open))
        }),
    ];
    for (name, kind, help, read) in families {
        let name = format!("bartizan_notify_{name}");
        page.family(&name, kind, help);
        for it in deliveries {
            page.sample(&name, &[("destination", &it.destination)], read(it));
        }
    }
}

/// The same under the names that begin with `rtg_`, which dashboards made before this product ask for.
///
/// Source: docs/api.md, "Metrics".
fn rtg(page: &mut Exposition, measured: &Measured) {
    let (status, total) = (&measured.status, measured.book.total());
    page.single("rtg_ingest_total", "counter", "Records that came in, by any input.", total.received());
    page.single("rtg_processed_total", "counter", "Events that went through detection.", status.events_detected);
    let errors = total.rejected + total.quarantined;
    page.single("rtg_errors_total", "counter", "Records that could not be read.", errors);
    page.single("rtg_queue_depth", "gauge", "Events that wait for detection.", measured.book.lag_events());
    page.family("rtg_alerts_total", "counter", "Alerts raised, by detector and severity.");
    let raised = status.raised.iter().map(|it| ((label_of_detector(it), it.severity.as_str()), it.count));
    for ((detector, severity), count) in summed(raised) {
        page.sample("rtg_alerts_total", &[("detector", &detector), ("severity", severity)], count);
    }
    let name = "rtg_process_latency_seconds";
    page.family(name, "histogram", "From receipt until detection was through.");
    let (bucket, all) = (format!("{name}_bucket"), status.latency.count());
    for (bound, count) in status.latency.buckets() {
        page.sample(&bucket, &[("le", &bound.to_string())], count);
    }
    page.sample(&bucket, &[("le", "+Inf")], all);
    page.sample(&format!("{name}_sum"), &[], status.latency.sum().as_secs_f64());
    page.sample(&format!("{name}_count"), &[], all);
}

fn bouncers(page: &mut Exposition, status: &Status) {
    let shown = || status.bouncers.iter().take(BOUNCERS_MAX);
    let age = "bartizan_bouncer_last_pull_age_seconds";
    page.family(age, "gauge", "How long ago a bouncer pulled decisions.");
    shown().for_each(|it| page.sample(age, &[("bouncer", &it.name), ("kind", &it.kind)], it.age.as_secs_f64()));
    let lag = "bartizan_bouncer_lag_seconds";
    page.family(lag, "gauge", "How long the newest decision had waited for a bouncer.");
    for (it, value) in shown().filter_map(|it| Some((it, it.lag?))) {
        page.sample(lag, &[("bouncer", &it.name), ("kind", &it.kind)], value.as_secs_f64());
    }
    let silent = "bartizan_bouncer_silent";
    page.family(silent, "gauge", "Whether a bouncer missed several of its pulls.");
    shown().for_each(|it| page.sample(silent, &[("bouncer", &it.name), ("kind", &it.kind)], u8::from(it.is_silent)));
}

fn process(page: &mut Exposition, measured: &Measured) {
    let status = &measured.status;
    page.single("bartizan_requests_in_flight", "gauge", "Requests that are being answered.", status.requests_in_flight);
    page.family("bartizan_build_info", "gauge", "The version that runs.");
    page.sample("bartizan_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let started = status.started_at.nanos() as f64 / 1e9;
    page.single("process_start_time_seconds", "gauge", "When the process began.", started);
    if let Some(bytes) = measured.resident_bytes {
        page.single("process_resident_memory_bytes", "gauge", "Resident memory.", bytes);
    }
}

const fn outcomes(counts: &Counts) -> [(&'static str, u64); 4] {
    [
        ("stored", counts.stored),
        ("duplicate", counts.duplicate),
        ("rejected", counts.rejected),
        ("quarantined", counts.quarantined),
    ]
}

/// The inputs by label: files of the same name are one, and what is beyond the limit is [`OTHER`].
fn labelled_inputs(book: &Book) -> BTreeMap<String, Counts> {
    let mut labelled: BTreeMap<String, Counts> = BTreeMap::new();
    for (input, counts) in &book.inputs {
        let label = label_of_input(input);
        let is_room = labelled.len() < INPUTS_MAX || labelled.contains_key(&label);
        labelled.entry(if is_room { label } else { OTHER.to_owned() }).or_default().add(counts);
    }
    labelled
}

/// A watched file is named by its last part only: where it lies is nobody's business.
fn label_of_input(input: &str) -> String {
    match input.rsplit_once(['/', '\\']) {
        Some((_, name)) => format!("file:{name}"),
        None => input.to_owned(),
    }
}

/// A rule of another tool is called after its source, a slash, and its own name; ours have no slash.
fn label_of_rule(rule: &str) -> String {
    if rule.contains('/') { FINDING.to_owned() } else { rule.to_owned() }
}

/// What raises the alerts of other tools is one detector, whatever they call themselves.
fn label_of_detector(raised: &Raised) -> String {
    if raised.rule.contains('/') { FINDING.to_owned() } else { raised.detector.clone() }
}

fn alerts_by_rule(status: &Status) -> BTreeMap<(String, &'static str), u64> {
    summed(status.raised.iter().map(|it| ((label_of_rule(&it.rule), it.severity.as_str()), it.count)))
}

/// Adds up what has the same labels, for at most [`RULES_MAX`] of them.
fn summed<K: Ord>(counts: impl Iterator<Item = (K, u64)>) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for (key, count) in counts {
        if sums.len() < RULES_MAX || sums.contains_key(&key) {
            *sums.entry(key).or_default() += count;
        }
    }
    sums
}

/// The page in the making.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let start = if index == 0 { '{' } else { ',' };
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{start}{label}=\"{}\"", escaped(text));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

/// Escapes the value of a label; other control characters are shown as U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use model::severity::Severity;

    use super::*;

    fn measured() -> Measured {
        let mut status = Status { started_at: Timestamp(1_500_000_000), events_detected: 9, ..Status::default() };
        status.latency.observe(Duration::from_millis(30), 2);
        status.gateway = Some(crate::status::Gateway {
            requests: vec![("pass", 7), ("block", 2)],
            lost: 1,
            upstreams_up: 2,
            inspections: 9,
            inspection_time: Duration::from_micros(250),
            remote: Some(crate::status::Remote {
                decisions: 5,
                age: Some(Duration::from_millis(1500)),
                is_enforced: true,
                heard_at: None,
            }),
            ..Default::default()
        });
        for (rule, count) in [("bruteforce", 2), ("ids/198.18.0.1 did it", 3), ("ids/another", 4)] {
            let (rule, detector) = (rule.to_owned(), "threshold".to_owned());
            status.matches.push((rule.clone(), count));
            status.raised.push(Raised { rule, detector, severity: Severity::High, count });
        }
        let mut book = Book::default();
        for (input, stored) in [("shop", 1), ("/var/log/a/access.log", 2), ("/srv/b/access.log", 3), ("a\"b\nc", 4)] {
            book.inputs.insert(input.into(), Counts { stored, ..Counts::default() });
        }
        for (input, events, since) in [("/var/log/a/access.log", 2, 8), ("/srv/b/access.log", 3, 6), ("shop", 1, 9)] {
            book.pending.entry(input.into()).or_default().add(events, Timestamp(since * 1_000_000_000));
        }
        let damage = Damage::default();
        let queued = Queued { submissions: 3, oldest: Duration::from_millis(1500) };
        let queued = BTreeMap::from([("shop".to_owned(), queued)]);
        Measured {
            status,
            book,
            queue: (1, 2),
            queued,
            log_bytes: 3,
            store_bytes: Some(5),
            damage,
            resident_bytes: Some(4096),
            now: Timestamp(10_000_000_000),
        }
    }

    #[track_caller]
    fn check(line: &str) {
        let text = text_of(&measured());
        assert!(text.lines().any(|it| it == line), "no `{line}` in\n{text}");
    }

    #[test]
    fn counts_are_shown_under_their_names() {
        check("bartizan_ingest_records_total{input=\"shop\",outcome=\"stored\"} 1");
        check("bartizan_detected_events_total 9");
        check("bartizan_input_queued_submissions{input=\"shop\"} 3");
        check("bartizan_input_queued_oldest_seconds{input=\"shop\"} 1.5");
        check("bartizan_input_queued_oldest_seconds{input=\"file:access.log\"} 0");
        check("bartizan_input_lag_events{input=\"file:access.log\"} 5");
        check("bartizan_input_lag_oldest_seconds{input=\"file:access.log\"} 4");
        check("bartizan_input_lag_oldest_seconds{input=\"shop\"} 1");
        check("bartizan_input_lag_oldest_seconds{input=\"a\\\"b\\nc\"} 0");
        check("bartizan_lag_events 6");
        check("bartizan_alerts_total{rule=\"bruteforce\",severity=\"high\"} 2");
        check("rtg_alerts_total{detector=\"threshold\",severity=\"high\"} 2");
        check("rtg_ingest_total 10");
        check("rtg_process_latency_seconds_bucket{le=\"0.025\"} 0");
        check("rtg_process_latency_seconds_bucket{le=\"0.05\"} 2");
        check("rtg_process_latency_seconds_bucket{le=\"+Inf\"} 2");
        check("rtg_process_latency_seconds_sum 0.06");
        check("process_start_time_seconds 1.5");
    }

    #[test]
    fn the_gateway_is_counted_where_there_is_one() {
        check("bartizan_gateway_requests_total{action=\"block\"} 2");
        check("bartizan_gateway_lost_events_total 1");
        check("bartizan_gateway_upstreams{state=\"up\"} 2");
        check("bartizan_gateway_inspection_seconds_sum 0.00025");
        check("bartizan_gateway_inspection_seconds_count 9");
        check("bartizan_gateway_copied_decisions 5");
        check("bartizan_gateway_copied_decisions_enforced 1");
        check("bartizan_gateway_copied_decisions_age_seconds 1.5");
        let measured = Measured { status: Status::default(), ..measured() };
        assert!(!text_of(&measured).contains("bartizan_gateway"));
    }

    #[test]
    fn labels_hold_no_path_and_no_name_that_a_sender_chose() {
        check("bartizan_ingest_records_total{input=\"file:access.log\",outcome=\"stored\"} 5");
        check("bartizan_rule_matches_total{rule=\"finding\"} 7");
        check("rtg_alerts_total{detector=\"finding\",severity=\"high\"} 7");
        let text = text_of(&measured());
        assert!(!text.contains("/var") && !text.contains("198.18"), "{text}");
    }

    #[test]
    fn labels_are_escaped() {
        check("bartizan_ingest_records_total{input=\"a\\\"b\\nc\",outcome=\"stored\"} 4");
        assert_eq!(escaped("a\\b"), "a\\\\b");
        assert_eq!(escaped("\r\u{1b}\u{85}"), "\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn every_sample_has_its_help_and_type_once() {
        let text = text_of(&measured());
        let mut types = std::collections::BTreeSet::new();
        for name in text.lines().filter_map(|it| it.strip_prefix("# TYPE ")).filter_map(|it| it.split(' ').next()) {
            assert!(types.insert(name.to_owned()), "{name} twice");
        }
        for line in text.lines().filter(|it| !it.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|it| name.strip_suffix(it)).unwrap_or(name);
            assert!(types.contains(name) || types.contains(family), "{line}");
        }
    }

    #[test]
    fn inputs_beyond_the_limit_are_one() {
        let mut book = Book::default();
        for number in 0..INPUTS_MAX + 5 {
            book.inputs.insert(format!("input-{number:04}"), Counts { stored: 1, ..Counts::default() });
        }
        let labelled = labelled_inputs(&book);
        assert_eq!((labelled.len(), labelled[OTHER].stored), (INPUTS_MAX + 1, 5));
    }

    #[test]
    fn this_process_knows_its_memory() {
        assert!(resident_bytes().is_none_or(|it| 1 << 20 < it));
    }
}
