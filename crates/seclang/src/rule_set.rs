//! A set of rules that runs.

use crate::chains::Chains;
use crate::prefilter::{Classes, Prefilter};
use crate::rule::Rule;
use crate::transaction::Names;

/// A set of rules that runs. Made by [`crate::load::load`]; it does not change and can be shared.
#[derive(Clone, Debug)]
pub struct RuleSet {
    pub(crate) rules: Vec<Rule>,
    /// The first links of the rules of each phase.
    pub(crate) phases: [Vec<u32>; 2],
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
        self.phases.iter().flatten().map(|it| self.rules[*it as usize].id)
    }
}
