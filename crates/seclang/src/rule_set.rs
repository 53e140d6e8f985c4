//! A set of rules that runs.

use crate::bytes::ByteSet;
use crate::chains::{Chains, Node};
use crate::operator::Operator;
use crate::prefilter::{Classes, Prefilter};
use crate::rule::Rule;
use crate::transaction::Names;

/// A set of rules that runs. Made by [`crate::load::load`]; it does not change and can be shared.
#[derive(Clone, Debug)]
pub struct RuleSet {
    pub(crate) rules: Vec<Rule>,
    /// The rules of each phase.
    pub(crate) phases: [Vec<Step>; 2],
    pub(crate) names: Names,
    pub(crate) chains: Chains,
    pub(crate) prefilter: Prefilter,
    pub(crate) classes: Classes,
    /// What variables are before the first rule.
    pub(crate) initial: Vec<(u32, i64)>,
    /// The variable that holds the score.
    pub(crate) score_place: u32,
    pub(crate) left_out: usize,
}

/// A rule in the list of its phase: small, so that going past those that are spared touches little memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The index of its first link.
    pub(crate) head: u32,
    /// The need whose literals must be somewhere, if it has any.
    pub(crate) literals: Option<u32>,
}

impl RuleSet {
    /// How many rules run; a chain counts once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.phases.iter().map(Vec::len).sum()
    }

    /// Whether no rule runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rules were understood, and do not run since they are above the paranoia level.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The numbers of the rules that run, in the order in which they do.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.phases.iter().flatten().map(|it| self.rules[it.head as usize].id)
    }

    /// The numbers of rules that the prefilter keeps from `text`, after their transformations, and that it matches.
    ///
    /// There must be none, whatever the text: this is the check of the one thing that could lose an attack in silence. It
    /// runs every pattern and is slow.
    #[must_use]
    pub fn lost_by_prefilter(&self, text: &[u8]) -> Vec<u32> {
        let rules = self.phases.iter().flatten().map(|it| &self.rules[it.head as usize]);
        let is_lost = |rule: &&Rule| {
            let nodes: Vec<Node> =
                self.chains.path(rule.node).take(if rule.is_multi_match { usize::MAX } else { 1 }).collect();
            nodes.into_iter().any(|it| self.is_lost(rule, &self.transformed(text, it)))
        };
        rules.filter(is_lost).map(|it| it.id).collect()
    }

    fn is_lost(&self, rule: &Rule, text: &[u8]) -> bool {
        let Some(need) = rule.needs else { return false };
        let mut hits = vec![0; self.prefilter.words()];
        self.prefilter.scan(text, &mut hits);
        let is_matched = match &rule.operator {
            Operator::Pattern(pattern) => pattern.regex.is_match(text),
            Operator::Phrases(phrases) => phrases.searcher.is_match(text),
            _ => false,
        };
        is_matched && !self.prefilter.allows(need, &ByteSet::of(text), Some(&hits))
    }

    fn transformed(&self, text: &[u8], node: Node) -> Vec<u8> {
        let Some(step) = self.chains.step(node) else { return text.to_vec() };
        let mut out = Vec::new();
        step.transform.apply(&self.transformed(text, step.parent), &mut out);
        out
    }
}
