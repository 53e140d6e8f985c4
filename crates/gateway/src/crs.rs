//! The rules of the OWASP Core Rule Set beside our own inspection, where the user has them.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use attack::request::Request;
use seclang::detectors::Plain;
use seclang::evaluate::Scratch;
use seclang::outcome::{Match, Outcome};
use seclang::rule_set::RuleSet;

/// The tag of rules that look at no request but at the score of the others; the score tells what they would.
const OF_SCORE: &str = "anomaly-evaluation";

thread_local! {
    /// Memory that a thread uses again.
    static MEMORY: RefCell<(Scratch, Outcome)> = RefCell::default();
}

/// Rules that run, and the score from which a request is an attack.
#[derive(Clone, Debug)]
pub struct Crs {
    set: Arc<RuleSet>,
    threshold: Option<u32>,
}

impl Crs {
    /// Takes loaded rules. `threshold` is in points of the rule set, a critical rule adds five; `None`: as its files say.
    #[must_use]
    pub fn new(set: RuleSet, threshold: Option<u32>) -> Self {
        Self { set: Arc::new(set), threshold }
    }

    /// What the rules say of a request of `client`.
    pub(crate) fn evaluate(&self, request: &Request<'_>, client: IpAddr) -> Verdict {
        MEMORY.with_borrow_mut(|(scratch, outcome)| {
            self.set.evaluate(request, Some(client), &Plain, scratch, outcome);
            let mut matches = std::mem::take(&mut outcome.matches);
            matches.retain(|it| !it.tags.iter().any(|tag| &**tag == OF_SCORE));
            let score = outcome.anomaly_score;
            let is_attack = outcome.is_blocked || self.threshold.is_some_and(|it| it <= score);
            Verdict { matches, score, is_attack }
        })
    }
}

/// What the rules say of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What matched, in the order of the rules; a rule stands there once for each value.
    pub(crate) matches: Vec<Match>,
    /// What the rules add up to.
    pub(crate) score: u32,
    /// Whether that is an attack.
    pub(crate) is_attack: bool,
}

impl Verdict {
    /// The matches without those of a rule that matched before.
    pub(crate) fn by_rule(&self) -> impl Iterator<Item = &Match> {
        let is_first = |at: usize, id: u32| self.matches[..at].iter().all(|it| it.id != id);
        self.matches.iter().enumerate().filter(move |(at, it)| is_first(*at, it.id)).map(|it| it.1)
    }
}

/// A match in a sentence, with the target as an exclusion writes it: `942100 in ARGS:q: ...`.
pub(crate) fn sentence(found: &Match) -> String {
    format!("{} in {}: {}: {}", found.id, found.target, found.message, found.excerpt)
}

/// What would exclude a match, as `gateway.crs_exclude` writes it: `942100 ARGS:q`.
///
/// `None` when the member cannot be named there: its name has characters with a meaning, and came from whoever asked.
pub(crate) fn exclusion(found: &Match) -> Option<String> {
    let member = found.target.split_once(':').map_or("", |it| it.1);
    let has_meaning = |it: char| it.is_control() || "|,!'\"\\".contains(it);
    let is_xpath = found.target.starts_with("XML:");
    let is_name =
        is_xpath || (!member.starts_with(['/', '&']) && member.trim() == member && !member.contains(has_meaning));
    is_name.then(|| format!("{} {}", found.id, found.target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, expected: Option<&str>) {
        let found = Match {
            id: 942_100,
            tags: Box::default(),
            severity: None,
            message: String::new(),
            target: target.to_owned(),
            excerpt: String::new(),
        };
        assert_eq!(exclusion(&found).as_deref(), expected, "{target}");
    }

    #[test]
    fn an_exclusion_is_as_narrow_as_the_match() {
        check("ARGS:q", Some("942100 ARGS:q"));
        check("REQUEST_HEADERS:user-agent", Some("942100 REQUEST_HEADERS:user-agent"));
        check("REQUEST_BODY", Some("942100 REQUEST_BODY"));
        check("XML:/*", Some("942100 XML:/*"));
        for target in ["ARGS:/.*/", "ARGS:a|ARGS", "ARGS:a\nattack-sqli", "ARGS:a\"", "ARGS: a"] {
            check(target, None);
        }
    }
}
