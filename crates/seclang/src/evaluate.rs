//! Runs the rules over a request.

mod assign;
mod test;

use std::net::IpAddr;

use attack::request::Request;

use crate::action::{Control, Verdict};
use crate::arena::Span;
use crate::body::{self, BODY_BYTES_MAX, Faults, Form};
use crate::detectors::Detectors;
use crate::head;
use crate::outcome::{Match, Outcome, readable};
use crate::rule::Rule;
use crate::rule_set::RuleSet;
use crate::transaction::{Transaction, Value};
use crate::values::Values;

/// Memory that evaluations need, kept between them. One for each thread.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    values: Values,
    transaction: Transaction,
    /// What the link of a chain before found, and what this one finds.
    before: Vec<Found>,
    found: Vec<Found>,
    /// Rules that other rules switched off, as a bit for each; empty: none.
    removed: Vec<u64>,
    /// Targets that rules took from others: index of the rule, and of the change.
    removed_targets: Vec<(u32, (u32, u32))>,
}

/// A value that a rule matched.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// The collection as it is shown.
    shown: &'static str,
    /// The name of the member.
    name: Span,
    /// The value, transformed.
    text: Span,
    /// What of it matched.
    excerpt: Span,
    /// Whether it is a part of the request.
    is_stored: bool,
}

impl RuleSet {
    /// Says which rules `request` matches. `client` is the address it came from, if known.
    ///
    /// The whole of `request` is read up to the limits ([`BODY_BYTES_MAX`], [`crate::values::VALUES_MAX`]); what the rules
    /// cost grows with its length and no faster. `outcome` is cleared first.
    pub fn evaluate(
        &self,
        request: &Request,
        client: Option<IpAddr>,
        detectors: &dyn Detectors,
        scratch: &mut Scratch,
        outcome: &mut Outcome,
    ) {
        outcome.clear();
        scratch.values.clear(self);
        scratch.transaction.clear(self.names.len());
        scratch.removed.clear();
        scratch.removed_targets.clear();
        for (place, value) in &self.initial {
            scratch.transaction.set(*place, Value::Number(*value));
        }
        head::collect(request, self, &mut scratch.values);
        scratch.values.prepare(self);
        let content_type = request.header("content-type").unwrap_or_default();
        let mut run = Run {
            set: self,
            client,
            detectors,
            scratch,
            outcome,
            knows_all_headers: request.has_all_headers,
            body_length: request.body.len(),
            form: Form::of_content_type(content_type),
            forces_body: false,
            reads_body: true,
            faults: Faults::default(),
            is_over: false,
        };
        run.phase(0);
        run.read_body(content_type, request.body);
        run.phase(1);
        run.finish();
    }
}

/// One evaluation.
struct Run<'a> {
    set: &'a RuleSet,
    client: Option<IpAddr>,
    detectors: &'a dyn Detectors,
    scratch: &'a mut Scratch,
    outcome: &'a mut Outcome,
    /// Whether a header field that is not there is missing.
    knows_all_headers: bool,
    body_length: usize,
    form: Option<Form>,
    forces_body: bool,
    reads_body: bool,
    faults: Faults,
    /// Whether a rule ended the evaluation.
    is_over: bool,
}

/// Where a phase goes on.
enum Next {
    Rule,
    At(usize),
    Phase,
}

impl<'a> Run<'a> {
    fn phase(&mut self, phase: usize) {
        let set: &'a RuleSet = self.set;
        let list = &set.phases[phase];
        let mut at = 0;
        while let Some(step) = list.get(at).filter(|_| !self.is_over) {
            // No text of the request has any of the literals that the rule needs.
            if step.literals.is_some_and(|it| !self.scratch.values.is_candidate(it)) {
                at += 1;
                continue;
            }
            at = match self.rule(step.head) {
                Next::Rule => at + 1,
                Next::At(next) => next,
                Next::Phase => return,
            };
        }
    }

    fn read_body(&mut self, content_type: &[u8], body: &[u8]) {
        if !self.reads_body || body.is_empty() || self.is_over {
            return;
        }
        self.outcome.is_truncated |= BODY_BYTES_MAX < body.len();
        let body = &body[..body.len().min(BODY_BYTES_MAX)];
        let values = &mut self.scratch.values;
        self.faults = body::collect(self.form, self.forces_body, content_type, body, self.set, values);
        values.prepare(self.set);
    }

    fn finish(&mut self) {
        let score = self.scratch.transaction.get(self.set.score_place);
        self.outcome.anomaly_score = u32::try_from(self.number_of(score).max(0)).unwrap_or(u32::MAX);
        self.outcome.is_truncated |= self.scratch.values.is_full || self.scratch.transaction.is_full;
    }

    /// Runs a rule with its chain.
    fn rule(&mut self, head: u32) -> Next {
        let set: &'a RuleSet = self.set;
        let rule = &set.rules[head as usize];
        if self.is_removed(head) {
            return Next::Rule;
        }
        let mut reported = None;
        let mut at = head as usize;
        loop {
            let link = &set.rules[at];
            std::mem::swap(&mut self.scratch.before, &mut self.scratch.found);
            self.scratch.found.clear();
            if !self.link(head, link) {
                return Next::Rule;
            }
            let seen = self.scratch.found.iter().rfind(|it| it.is_stored).copied();
            reported = seen.or(reported).or_else(|| self.scratch.found.first().copied());
            if !link.is_chained {
                break;
            }
            at += 1;
        }
        self.report(rule, at == head as usize, reported);
        self.conclude(rule)
    }

    fn is_removed(&self, head: u32) -> bool {
        self.scratch.removed.get(head as usize / 64).is_some_and(|it| it & (1 << (head % 64)) != 0)
    }

    fn conclude(&mut self, rule: &Rule) -> Next {
        match rule.verdict {
            Verdict::Pass | Verdict::Block => {}
            Verdict::Deny => self.outcome.is_blocked = true,
            Verdict::Allow => self.is_over = true,
            Verdict::AllowPhase => return Next::Phase,
        }
        rule.next.map_or(Next::Rule, |it| Next::At(it as usize))
    }

    /// Writes down what a rule says. A rule alone says it of each value, a chain of one.
    fn report(&mut self, rule: &Rule, is_alone: bool, reported: Option<Found>) {
        if rule.saying.is_silent {
            return;
        }
        let count = if is_alone { self.scratch.found.len().max(1) } else { 1 };
        for at in 0..count {
            if Outcome::MATCHES_MAX <= self.outcome.matches.len() {
                return;
            }
            let found = if is_alone { self.scratch.found.get(at).copied() } else { reported };
            let message = self.expand(&rule.saying.message, rule);
            let arena = &self.scratch.values.arena;
            self.outcome.matches.push(Match {
                id: rule.id,
                tags: rule.saying.tags.clone(),
                severity: rule.saying.severity,
                message: readable(arena.get(message), Match::TEXT_BYTES_MAX),
                target: found.map_or_else(String::new, |it| shown(it.shown, arena.get(it.name))),
                excerpt: found.map_or_else(String::new, |it| readable(arena.get(it.excerpt), Match::EXCERPT_BYTES_MAX)),
            });
        }
    }

    /// Does what a rule changes about the rules to come.
    fn control(&mut self, rule: &Rule) {
        for (nth, change) in (0_u32..).zip(&rule.controls) {
            match &change.control {
                Control::RemoveRules(_) => {
                    self.scratch.removed.resize(self.set.rules.len().div_ceil(64), 0);
                    for it in &change.rules {
                        self.scratch.removed[*it as usize / 64] |= 1 << (it % 64);
                    }
                }
                Control::RemoveTarget(..) => {
                    let taken = &mut self.scratch.removed_targets;
                    taken.extend(change.rules.iter().map(|it| (*it, (rule.place, nth))));
                    // A rule takes the same target for each value that it matches.
                    taken.sort_unstable();
                    taken.dedup();
                }
                Control::EngineOff => self.is_over = true,
                Control::ForceBodyVariable => self.forces_body = true,
                Control::BodyProcessor(name) => self.form = Form::from_name(name),
                Control::BodyOff => self.reads_body = false,
            }
        }
    }

    /// Whether a rule took this member from the rule at `head`.
    fn is_target_removed(&self, head: u32, shown: &str, name: &[u8]) -> bool {
        let taken = &self.scratch.removed_targets;
        let from = taken.partition_point(|it| it.0 < head);
        taken[from..].iter().take_while(|it| it.0 == head).any(|(_, (rule, nth))| {
            let change = &self.set.rules[*rule as usize].controls[*nth as usize];
            matches!(&change.control, Control::RemoveTarget(_, part) if part.excludes(shown, name))
        })
    }
}

/// A member as exclusions name it.
fn shown(collection: &str, name: &[u8]) -> String {
    if name.is_empty() {
        return collection.to_owned();
    }
    format!("{collection}:{}", readable(name, Match::TEXT_BYTES_MAX))
}
