//! What HTTP inspection says of the request that an event tells of, as fields that rules can ask for.
//!
//! An access log has the method, the target, the user agent and the referring page; that much is inspected here. A request that
//! came through the gateway was inspected whole, and its event says so.

use std::sync::{Arc, OnceLock};

use attack::exception::Exceptions;
use attack::inspector::{Inspector, Scratch};
use attack::report::{Finding, Report};
use attack::request::{Header, Request};
use model::event::{EventView, TextField};
use sigma::event::Value;

use crate::recorded;

/// Something that inspection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// `http.attack_score`: the sum of the scores of attacks; from 5 on the request is taken for one.
    AttackScore,
    /// `http.bot_score`: how likely a program sent it, 0 to 100.
    BotScore,
    /// `http.families`: the kinds of the attacks in it.
    Families,
    /// `http.findings`: each finding as `family/check`.
    Findings,
    /// `http.evidence`: each finding with its place and what stood there.
    Evidence,
}

impl Said {
    /// Finds it by the name of its field.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "http.attack_score" => Self::AttackScore,
            "http.bot_score" => Self::BotScore,
            "http.families" => Self::Families,
            "http.findings" => Self::Findings,
            "http.evidence" => Self::Evidence,
            _ => return None,
        })
    }
}

/// The inspection of one event after another; memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    scratch: Scratch,
    report: Report,
    is_done: bool,
}

impl Inspection {
    /// Forgets what was said of the event before.
    pub(crate) fn forget(&mut self) {
        self.is_done = false;
    }

    fn report(&mut self, event: &EventView<'_>, exceptions: &Arc<Exceptions>) -> &Report {
        if !std::mem::replace(&mut self.is_done, true) {
            self.report.clear();
            inspect(event, exceptions, &mut self.scratch, &mut self.report);
        }
        &self.report
    }

    /// Whether there is anything to say that `exceptions` leave.
    pub(crate) fn says(&mut self, event: &EventView<'_>, exceptions: &Arc<Exceptions>, said: Said) -> bool {
        let report = self.report(event, exceptions);
        match said {
            Said::AttackScore => 0 < report.attack_score,
            Said::BotScore => 0 < report.bot_score,
            Said::Families | Said::Findings | Said::Evidence => !report.findings.is_empty(),
        }
    }

    /// Shows the values of a field; `false` when there are none.
    pub(crate) fn visit(
        &mut self,
        event: &EventView<'_>,
        exceptions: &Arc<Exceptions>,
        said: Said,
        see: &mut dyn FnMut(Value<'_>) -> bool,
    ) -> bool {
        let report = self.report(event, exceptions);
        match said {
            Said::AttackScore => {
                see(Value::Integer(i64::from(report.attack_score)));
            }
            Said::BotScore => {
                see(Value::Integer(i64::from(report.bot_score)));
            }
            Said::Families => {
                report.families().iter().any(|it| see(Value::Text(it.as_str())));
            }
            Said::Findings => {
                report.findings.iter().map(Finding::name).any(|it| see(Value::Text(&it)));
            }
            Said::Evidence => {
                report.findings.iter().map(Finding::sentence).any(|it| see(Value::Text(&it)));
            }
        }
        true
    }
}

/// Says of one event after another what stands out in its request, wherever it was inspected: what rules ask for, whole.
#[derive(Debug, Default)]
pub struct EventInspector {
    scratch: Scratch,
    report: Report,
}

impl EventInspector {
    /// What stands out in the request that an event tells of, without what `exceptions` cover.
    ///
    /// A request that the gateway inspected is as the gateway said; any other is inspected as far as its event has it. `None` for
    /// an event that tells of no request, and for another tool's alert.
    pub fn report(&mut self, event: &EventView<'_>, exceptions: &Arc<Exceptions>) -> Option<&Report> {
        let target = event.text(TextField::Path).filter(|_| !event.is_finding())?;
        self.report.begin(exceptions, event.text(TextField::Host), target.as_bytes());
        if !recorded::read(event, &mut self.report) {
            inspect(event, exceptions, &mut self.scratch, &mut self.report);
        }
        Some(&self.report)
    }
}

/// One for all threads: it takes some milliseconds to make, and only rules that ask for it need it.
fn inspector() -> &'static Inspector {
    static INSPECTOR: OnceLock<Inspector> = OnceLock::new();
    INSPECTOR.get_or_init(Inspector::new)
}

fn inspect(event: &EventView<'_>, exceptions: &Arc<Exceptions>, scratch: &mut Scratch, report: &mut Report) {
    let Some(target) = event.text(TextField::Path) else { return };
    let headers = [("user-agent", TextField::UserAgent), ("referer", TextField::Referer)];
    let headers = headers.map(|(name, field)| Header { name, value: event.text(field).unwrap_or_default().as_bytes() });
    let request = Request {
        method: event.text(TextField::Method).unwrap_or_default(),
        target: target.as_bytes(),
        version: event.text(TextField::Protocol).unwrap_or_default(),
        headers: &headers,
        ..Request::default()
    };
    inspector().inspect_except(&request, (exceptions, event.text(TextField::Host)), scratch, report);
}

#[cfg(test)]
mod tests {
    use attack::exception::{Draft, Exception};
    use model::event::EventWriter;
    use model::id::EventId;
    use model::time::Timestamp;

    use super::*;

    #[track_caller]
    fn check(path: &str, agent: &str, said: Said, expected: &[&str]) {
        check_except(&Arc::default(), path, agent, said, expected);
    }

    #[track_caller]
    fn check_except(exceptions: &Arc<Exceptions>, path: &str, agent: &str, said: Said, expected: &[&str]) {
        let mut bytes = Vec::new();
        EventWriter::new(&mut bytes, EventId(1), Timestamp(1), None, 0)
            .text(TextField::Method, "GET")
            .text(TextField::Path, path)
            .text(TextField::UserAgent, agent);
        let view = EventView::of(&bytes).unwrap();
        let (mut inspection, mut found) = (Inspection::default(), Vec::new());
        if inspection.says(&view, exceptions, said) {
            inspection.visit(&view, exceptions, said, &mut |it| {
                found.push(match it {
                    Value::Integer(it) => it.to_string(),
                    Value::Text(it) => it.to_owned(),
                    other => format!("{other:?}"),
                });
                false
            });
        }
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn a_log_line_says_what_was_tried() {
        let browser = "Mozilla/5.0 (X11; Linux x86_64; rv:105.0) Gecko/20100101 Firefox/105.0";
        check("/?id=1%27%20or%20%271%27%3D%271", browser, Said::Families, &["sqli"]);
        check("/?id=1%27%20or%20%271%27%3D%271", browser, Said::AttackScore, &["5"]);
        check("/?f=../../../../etc/passwd", browser, Said::Findings, &["traversal/path-system-file"]);
        check("/index.html?q=red+shoes", browser, Said::Findings, &[]);
        check("/", "curl/8.5.0", Said::BotScore, &["80"]);
        check("/", browser, Said::BotScore, &[]);
    }

    #[test]
    fn what_is_excepted_is_not_said() {
        let draft = Draft {
            finding: Some("sqli".to_owned()),
            path: Some("/search".to_owned()),
            reason: "x".to_owned(),
            ..Draft::default()
        };
        let exceptions = Arc::new(Exceptions::of(vec![Exception::of(draft).unwrap()]).unwrap());
        for (path, expected) in [("/search", &[][..]), ("/", &["sqli"])] {
            let target = format!("{path}?id=1%27%20or%20%271%27%3D%271");
            check_except(&exceptions, &target, "", Said::Families, expected);
        }
    }
}
