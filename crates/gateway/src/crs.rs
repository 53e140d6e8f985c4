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
