//! What exceptions would have hidden: they are run over the events that are kept, with the inspection that detection uses.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attack::exception::Exceptions;
use attack::report::{ATTACK_SCORE, Finding, Report};
use backends::log::{Log, LogError, RecordKind};
use detection::inspection::EventInspector;
use model::event::{EventView, TextField};
use model::id::EventId;
use model::place::PartitionId;
use serde_json::{Value, json};

/// How many records of a partition are looked at, the newest: some seconds of work.
pub(crate) const RECORDS_MAX: u64 = 1_000_000;
/// How long it may take; somebody waits for the answer.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(60);
/// How many events are shown.
const SAMPLES_MAX: usize = 10;
/// How much of a path is shown, in characters.
const PATH_CHARS_MAX: usize = 200;

/// What would have been hidden.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Hidden {
    /// How many events were looked at.
    pub(crate) events: u64,
    /// Whether these are all that are kept.
    pub(crate) is_all: bool,
    /// In how many of them something would have been left out.
    pub(crate) hides: u64,
    /// How many of those were attacks, and would be none.
    pub(crate) silences: u64,
    /// The newest of them, the newest last.
    pub(crate) samples: VecDeque<Value>,
}

/// A walk over the log.
pub(crate) struct Walk<'a> {
    /// What is in force: what it hides is hidden already.
    pub(crate) in_force: &'a Arc<Exceptions>,
    /// What may come into force.
    pub(crate) proposed: &'a Arc<Exceptions>,
    /// The event that it is made from, which does not count.
    pub(crate) own: EventId,
    /// How many records of a partition are looked at.
    pub(crate) records_max: u64,
    /// When it must be done.
    pub(crate) until: Instant,
}

impl Walk<'_> {
    /// Looks at what is kept in `log`.
    pub(crate) fn run(&self, log: &dyn Log) -> Result<Hidden, LogError> {
        let mut hidden = Hidden { is_all: true, ..Hidden::default() };
        let mut inspector = EventInspector::default();
        for partition in (0..log.partitions()).map(PartitionId) {
            let (start, end) = (log.start(partition), log.end(partition));
            let mut position = start.max(log.back(partition, end, self.records_max)?);
            hidden.is_all &= position == start;
            while position < end {
                if self.until <= Instant::now() {
                    hidden.is_all = false;
                    return Ok(hidden);
                }
                let block = log.read(partition, position)?;
                if block.is_empty() {
                    break;
                }
                let events = block.records(position).filter(|it| it.kind == RecordKind::Event);
                events
                    .filter_map(|it| EventView::of(it.bytes))
                    .for_each(|it| self.look(&mut inspector, &it, &mut hidden));
                position = block.next();
            }
        }
        Ok(hidden)
    }

    fn look(&self, inspector: &mut EventInspector, event: &EventView<'_>, hidden: &mut Hidden) {
        hidden.events += 1;
        if event.id == self.own {
            return;
        }
        let Some(report) = inspector.report(event, self.in_force).filter(|it| !it.findings.is_empty()) else { return };
        let target = event.text(TextField::Path).unwrap_or_default();
        let cover = self.proposed.cover(event.text(TextField::Host), target.as_bytes());
        let left_out: Vec<&Finding> = report.findings.iter().filter(|it| cover.covers(it)).collect();
        if left_out.is_empty() {
            return;
        }
        hidden.hides += 1;
        hidden.silences += u64::from(is_silenced(report, &left_out));
        if SAMPLES_MAX <= hidden.samples.len() {
            hidden.samples.pop_front();
        }
        hidden.samples.push_back(sample(event, target, &left_out));
    }
}

/// Whether a request is an attack and would be none without some of its findings.
fn is_silenced(report: &Report, left_out: &[&Finding]) -> bool {
    let gone: u32 = left_out.iter().filter(|it| it.family.is_attack()).map(|it| it.score).sum();
    report.is_attack() && report.attack_score.saturating_sub(gone) < ATTACK_SCORE
}

fn sample(event: &EventView<'_>, target: &str, left_out: &[&Finding]) -> Value {
    json!({
        "id": event.id.to_string(),
        "time": event.time.to_string(),
        "client_ip": event.client_ip.map(|it| it.to_string()),
        "method": event.text(TextField::Method),
        "host": event.text(TextField::Host),
        "path": target.chars().take(PATH_CHARS_MAX).collect::<String>(),
        "findings": left_out.iter().map(|it| it.sentence()).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use attack::exception::{Draft, Exception};
    use backends::log::Block;
    use backends::log::embedded::files::Folder;
    use backends::log::embedded::{EmbeddedLog, Settings};
    use model::event::{EventFlags, EventWriter};
    use model::time::Timestamp;

    use super::*;

    const UNION: &str = "1%27%20union%20select%201,2--%20";

    fn log(folder: &Path, targets: &[String]) -> EmbeddedLog {
        let log = EmbeddedLog::open(Arc::new(Folder::new(folder.to_owned())), Settings::default()).unwrap();
        for (number, target) in (1..).zip(targets) {
            let (mut bytes, mut block) = (Vec::new(), Block::default());
            EventWriter::new(&mut bytes, EventId(number), Timestamp(1), None, EventFlags::REPEATABLE)
                .text(TextField::Path, target);
            block.push(RecordKind::Event, &bytes);
            log.append(PartitionId(0), &mut block, Timestamp(1)).unwrap();
        }
        log
    }

    #[track_caller]
    fn check(targets: &[String], records_max: u64, expected: (u64, bool, u64, u64)) -> Hidden {
        let draft = Draft {
            finding: Some("sqli/sql-union".to_owned()),
            place: Some("query argument `q`".to_owned()),
            path: Some("/search".to_owned()),
            reason: "x".to_owned(),
            ..Draft::default()
        };
        let proposed = Arc::new(Exceptions::of(vec![Exception::of(draft).unwrap()]).unwrap());
        let until = Instant::now() + Duration::from_secs(600);
        let walk = Walk { in_force: &Arc::default(), proposed: &proposed, own: EventId(1), records_max, until };
        let folder = tempfile::tempdir().unwrap();
        let hidden = walk.run(&log(folder.path(), targets)).unwrap();
        assert_eq!((hidden.events, hidden.is_all, hidden.hides, hidden.silences), expected);
        hidden
    }

    #[test]
    fn counts_what_it_would_hide_and_what_would_be_no_attack_any_more() {
        let targets = [
            format!("/search?q={UNION}"),
            format!("/search?q=2{UNION}"),
            format!("/search?q={UNION}&x=%3Cscript%3Ealert(1)%3C/script%3E"),
            format!("/search?p={UNION}"),
            format!("/login?q={UNION}"),
            "/search?q=red+shoes".to_owned(),
        ];
        let hidden = check(&targets, RECORDS_MAX, (6, true, 2, 1));
        assert_eq!(hidden.samples[0]["path"], targets[1].as_str());
        assert!(hidden.samples[0]["findings"][0].as_str().unwrap().starts_with("sqli/sql-union in query argument `q`"));
    }

    #[test]
    fn looks_at_the_newest_and_says_that_there_are_more() {
        let targets = vec![format!("/search?q={UNION}"); 13];
        check(&targets, 13, (13, true, 12, 12));
        let hidden = check(&targets, 12, (12, false, 12, 12));
        assert_eq!((hidden.samples.len(), &hidden.samples[9]["id"]), (10, &json!(EventId(13).to_string())));
    }
}
