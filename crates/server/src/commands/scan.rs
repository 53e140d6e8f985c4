//! `bartizan scan`: the same engine as the server's over files, at full speed, without a server and without a folder.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Instant;

use detection::engine::{Engine, Matcher, Matches};
use detection::rules::{EngineSettings, Rules};
use detection::window::table::Bounds;
use lexopt::prelude::*;
use model::alert::{Alert, EvidenceRef};
use model::event::EventView;
use model::id::{AlertId, EventId};
use model::intake::{Events, Quarantined};
use model::place::Sequence;
use model::severity::Severity;
use normalize::formats::{FORMATS, Format, by_name};
use pipeline::hydrate::{EventSource, Hydrator};
use pipeline::ingest::now;
use serde_json::{Value, json};
use sigma::routing::Routing;
use sources::files::batches::{Batch, FileReading, Totals, read_batches};

use crate::failure::{FAIL_ON_MET, Failure, UNUSABLE};
use crate::ruleset::Selection;
use crate::terminal;

const HELP: &str = "\
Runs the rules over files and prints the alerts; writes nothing.

  bartizan scan [--format auto|NAME] [--output text|json|ndjson] [--rules DIR]... [--rules-config FILE]
                [--no-shipped-rules] [--routing none|strict|lenient] [--fail-on LEVEL] FILE...

  --format   the format of every line; found out line by line without it
  --fail-on  exit 10 when an alert has at least this level: informational, low, medium, high, critical
  -          stdin

Alerts go to stdout, the summary and complaints to stderr. A file that cannot be read, or not to its end, does not keep
the others from it; the exit code is 74 then.
";
/// How many batches may wait between reading and detecting.
const BATCHES_WAITING: usize = 8;
/// How much of what was read stays in memory, so that an alert can tell of its events.
const RECENT_BYTES_MAX: usize = 64 << 20;
/// How many unreadable records are told of one by one.
const COMPLAINTS_MAX: usize = 5;

/// How alerts are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Text,
    Json,
    Ndjson,
}

/// What was asked for.
struct Asked {
    format: Option<&'static Format>,
    output: Output,
    selection: Selection,
    fail_on: Option<Severity>,
    files: Vec<PathBuf>,
}

/// Runs `bartizan scan`.
pub(crate) fn scan(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let Some(asked) = read_arguments(arguments)? else { return Ok(0) };
    let sources = asked.selection.read()?;
    let (rules, errors, complaints) = sources.compile();
    errors.iter().for_each(|it| terminal::complain(&format!("refused rule {}", terminal::line(&it.to_string()))));
    complaints.iter().for_each(|it| terminal::complain(&terminal::line(it)));
    let (files, unreadable) = readable(&asked.files);
    if files.is_empty() {
        return Err(Failure::unusable(unreadable.join("\n")));
    }
    let mut scanned = run(&files, asked.format, Arc::new(rules))?;
    scanned.unread.extend(unreadable);
    scanned.complain();
    terminal::print(&scanned.show(asked.output))?;
    if !scanned.unread.is_empty() {
        return Ok(UNUSABLE);
    }
    let worst = scanned.alerts.values().map(|it| it.severity).max();
    let is_met = asked.fail_on.is_some_and(|level| worst.is_some_and(|it| level <= it));
    Ok(if is_met { FAIL_ON_MET } else { 0 })
}

fn read_arguments(mut arguments: lexopt::Parser) -> Result<Option<Asked>, Failure> {
    let (mut format, mut output, mut fail_on, mut files) = (None, Output::Text, None, Vec::new());
    let mut selection = Selection {
        has_shipped: true,
        folders: Vec::new(),
        rules_config: None,
        rules_config_later: None,
        settings: EngineSettings::default(),
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => {
                terminal::print(HELP)?;
                return Ok(None);
            }
            Long("format") => format = format_of(&arguments.value()?.string()?)?,
            Long("output") => output = output_of(&arguments.value()?.string()?)?,
            Long("rules") => selection.folders.push(arguments.value()?.into()),
            Long("rules-config") => selection.rules_config = Some(arguments.value()?.into()),
            Long("no-shipped-rules") => selection.has_shipped = false,
            Long("routing") => selection.settings.routing = routing_of(&arguments.value()?.string()?)?,
            Long("fail-on") => {
                let word = arguments.value()?.string()?;
                let level = Severity::from_word(&word);
                fail_on = Some(level.ok_or_else(|| {
                    Failure::usage(format!(
                        "`--fail-on` is `{word}`, and must be informational, low, medium, high or critical"
                    ))
                })?);
            }
            Value(path) => files.push(PathBuf::from(path)),
            other => return Err(Failure::usage(format!("{}\n\n{HELP}", other.unexpected()))),
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(format!("name at least one file, or - for stdin\n\n{HELP}")));
    }
    Ok(Some(Asked { format, output, selection, fail_on, files }))
}

fn format_of(name: &str) -> Result<Option<&'static Format>, Failure> {
    if name == "auto" {
        return Ok(None);
    }
    let known = || FORMATS.iter().map(|it| it.name).collect::<Vec<_>>().join(", ");
    by_name(name)
        .map(Some)
        .ok_or_else(|| Failure::usage(format!("there is no format `{name}`; there are auto, {}", known())))
}

fn output_of(word: &str) -> Result<Output, Failure> {
    match word {
        "text" => Ok(Output::Text),
        "json" => Ok(Output::Json),
        "ndjson" => Ok(Output::Ndjson),
        _ => Err(Failure::usage(format!("`--output` is `{word}`, and must be text, json or ndjson"))),
    }
}

fn routing_of(word: &str) -> Result<Routing, Failure> {
    match word {
        "none" => Ok(Routing::None),
        "strict" => Ok(Routing::Strict),
        "lenient" => Ok(Routing::Lenient),
        _ => Err(Failure::usage(format!("`--routing` is `{word}`, and must be none, strict or lenient"))),
    }
}

/// Tells the files that can be opened from the reasons why others cannot.
fn readable(files: &[PathBuf]) -> (Vec<PathBuf>, Vec<String>) {
    let (mut readable, mut reasons) = (Vec::new(), Vec::new());
    for path in files {
        match unreadable(path) {
            Some(reason) => reasons.push(reason),
            None => readable.push(path.clone()),
        }
    }
    (readable, reasons)
}

/// Why a file cannot be read; `None` when it can, as far as can be told before.
fn unreadable(path: &Path) -> Option<String> {
    if path.as_os_str() == "-" {
        return None;
    }
    match File::open(path).and_then(|it| it.metadata()) {
        Err(error) => Some(format!("`{}` cannot be read: {error}", path.display())),
        Ok(it) if it.is_dir() => Some(format!("`{}` is a folder; name the files in it", path.display())),
        Ok(_) => None,
    }
}

/// What a scan found.
pub(crate) struct Scanned {
    /// The alerts, by id.
    pub(crate) alerts: BTreeMap<AlertId, Alert>,
    /// What was read.
    pub(crate) totals: Totals,
    /// Rule id to number of matching events.
    pub(crate) matches: BTreeMap<String, u64>,
    /// Which files could not be read to their end, in a sentence each; what was read of them counts.
    pub(crate) unread: Vec<String>,
    quarantined: Vec<Quarantined>,
    seconds: f64,
}

/// What the reading thread hands over.
enum Handed {
    Batch(Batch, Matches),
    Failed(String),
    /// How many bytes a file had.
    Read(u64),
}

/// Runs the rules over files, in their order. A file that cannot be read to its end does not keep the next from it.
pub(crate) fn run(files: &[PathBuf], format: Option<&'static Format>, rules: Arc<Rules>) -> Result<Scanned, Failure> {
    let started = Instant::now();
    let (sender, receiver) = sync_channel(BATCHES_WAITING);
    let files = files.to_vec();
    // Both threads have about the same to do: one reads and matches, the other counts.
    let for_reading = rules.clone();
    let reading = thread::Builder::new().name("read".into()).spawn(move || {
        let mut matcher = Matcher::default();
        for path in &files {
            let handed = read_file(path, format, &mut |batch| {
                let mut matches = Matches::default();
                for event in batch.events.iter() {
                    match EventView::of(event) {
                        Some(view) => matcher.run(&for_reading, &view, &mut matches),
                        None => matches.pass(),
                    }
                }
                let is_taken = sender.send(Handed::Batch(batch, matches)).is_ok();
                if is_taken { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            let handed = match handed {
                Ok(totals) => Handed::Read(totals.bytes),
                Err(error) => Handed::Failed(format!("`{}` cannot be read to its end: {error}", path.display())),
            };
            if sender.send(handed).is_err() {
                return;
            }
        }
    });
    let reading = reading.map_err(|it| Failure::failed(format!("no thread: {it}")))?;
    let mut scanned = detect(&receiver, &rules);
    drop(receiver);
    if reading.join().is_err() {
        return Err(Failure::failed("the thread that reads panicked"));
    }
    scanned.seconds = started.elapsed().as_secs_f64();
    Ok(scanned)
}

fn read_file(
    path: &Path,
    format: Option<&'static Format>,
    on_batch: &mut dyn FnMut(Batch) -> ControlFlow<()>,
) -> io::Result<Totals> {
    let shown = path.display().to_string();
    let reading = FileReading {
        input: Arc::from(shown.as_str()),
        path: shown.clone(),
        file: shown,
        format,
        has_receipt: false,
        synthetic: false,
    };
    let reader: Box<dyn Read> =
        if path.as_os_str() == "-" { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
    read_batches(reader, &reading, now(), on_batch)
}

fn detect(receiver: &Receiver<Handed>, rules: &Arc<Rules>) -> Scanned {
    let mut engine = Engine::new(rules.clone(), Bounds::default());
    let mut hydrator = Hydrator::new(Recent::default());
    let mut scanned = Scanned {
        alerts: BTreeMap::new(),
        totals: Totals::default(),
        matches: BTreeMap::new(),
        unread: Vec::new(),
        quarantined: Vec::new(),
        seconds: 0.0,
    };
    let mut changes = Vec::new();
    for handed in receiver {
        let (batch, matches) = match handed {
            Handed::Batch(batch, matches) => (batch, matches),
            Handed::Failed(reason) => {
                scanned.unread.push(reason);
                continue;
            }
            Handed::Read(bytes) => {
                scanned.totals.bytes += bytes;
                continue;
            }
        };
        scanned.totals.events += batch.events.len() as u64;
        scanned.totals.quarantined += batch.quarantined.len() as u64;
        let room = COMPLAINTS_MAX.saturating_sub(scanned.quarantined.len());
        scanned.quarantined.extend(batch.quarantined.into_iter().take(room));
        let first = hydrator.events.push(batch.events);
        if let Some(events) = hydrator.events.newest() {
            for (at, event) in events.iter().enumerate() {
                if let Some(view) = EventView::of(event) {
                    engine.take_in(&matches, at, &view, first + at as u64);
                }
            }
        }
        if engine.has_changes() {
            engine.take(&mut changes);
            for change in changes.drain(..) {
                scanned.alerts.insert(change.id, hydrator.alert(&change, rules));
            }
        }
    }
    for (info, count) in rules.rules.iter().zip(engine.matches()) {
        if 0 < *count {
            *scanned.matches.entry(info.id.clone()).or_default() += count;
        }
    }
    scanned
}

/// The newest events of a scan, by their number.
#[derive(Default)]
struct Recent {
    batches: VecDeque<(u64, Arc<Events>)>,
    bytes: usize,
    next: u64,
}

impl Recent {
    /// Takes events in; returns the number of the first.
    fn push(&mut self, events: Events) -> u64 {
        let first = self.next;
        self.next += events.len() as u64;
        self.bytes += events.bytes.len();
        self.batches.push_back((first, Arc::new(events)));
        while RECENT_BYTES_MAX < self.bytes && 1 < self.batches.len() {
            self.bytes -= self.batches.pop_front().map_or(0, |it| it.1.bytes.len());
        }
        first
    }

    fn newest(&self) -> Option<Arc<Events>> {
        self.batches.back().map(|it| it.1.clone())
    }
}

impl EventSource for Recent {
    fn with_event(&mut self, sequence: Sequence, see: &mut dyn FnMut(&EventView<'_>)) {
        let behind = self.batches.partition_point(|it| it.0 <= sequence.0);
        let Some((first, events)) = behind.checked_sub(1).and_then(|it| self.batches.get(it)) else { return };
        let at = (sequence.0 - first) as usize;
        let Some(end) = events.ends.get(at) else { return };
        let start = at.checked_sub(1).and_then(|it| events.ends.get(it)).copied().unwrap_or(0);
        if let Some(view) = EventView::of(&events.bytes[start as usize..*end as usize]) {
            see(&view);
        }
    }

    fn id_of_place(&self, _: &EvidenceRef) -> Option<EventId> {
        None
    }
}

impl Scanned {
    /// The alerts in the order of their time.
    fn in_order(&self) -> Vec<&Alert> {
        let mut alerts: Vec<_> = self.alerts.values().collect();
        alerts.sort_by_key(|it| (it.timestamp, it.id));
        alerts
    }

    fn show(&self, output: Output) -> String {
        match output {
            Output::Text => {
                let row = |it: &&Alert| {
                    vec![
                        it.timestamp.to_string(),
                        it.severity.to_string(),
                        terminal::line(&it.entity.value),
                        it.count.to_string(),
                        terminal::line(&it.title),
                    ]
                };
                let rows: Vec<_> = self.in_order().iter().map(row).collect();
                if rows.is_empty() {
                    "No alerts.\n".to_owned()
                } else {
                    terminal::table(&["TIME", "SEVERITY", "WHO", "COUNT", "WHAT"], &rows)
                }
            }
            Output::Ndjson => {
                self.in_order().iter().map(|it| format!("{}\n", console::alerts::found_alert_json(it))).collect()
            }
            Output::Json => {
                let alerts: Vec<Value> = self
                    .in_order()
                    .iter()
                    .filter_map(|it| serde_json::from_str(&console::alerts::found_alert_json(it)).ok())
                    .collect();
                let document = json!({"events": self.totals.events, "quarantined": self.totals.quarantined, "rules": self.matches,
                                      "alerts": alerts, "seconds": self.seconds, "bytes": self.totals.bytes, "unread": self.unread});
                format!("{document}\n")
            }
        }
    }

    fn complain(&self) {
        self.unread.iter().for_each(|it| terminal::complain(&terminal::line(it)));
        for it in &self.quarantined {
            terminal::complain(&format!("unreadable: {}: {}", terminal::line(&it.place), terminal::line(&it.reason)));
        }
        let more = self.totals.quarantined.saturating_sub(self.quarantined.len() as u64);
        if 0 < more {
            terminal::complain(&format!("unreadable: {more} more"));
        }
        let rate = self.totals.bytes as f64 / 1e6 / self.seconds.max(1e-9);
        terminal::complain(&format!(
            "{}, {} unreadable (quarantine), {}, {} bytes in {:.2} s ({rate:.0} MB/s)",
            terminal::counted(self.totals.events, "event"),
            self.totals.quarantined,
            terminal::counted(self.alerts.len() as u64, "alert"),
            self.totals.bytes,
            self.seconds
        ));
    }
}
