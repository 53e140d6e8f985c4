//! Rules, ready to run.

use crate::action::{Assignment, Control, Verdict};
use crate::chains::Node;
use crate::operator::Operator;
use crate::outcome::Severity;
use crate::target::Targets;
use crate::template::Template;

/// A rule, or a link of a chain of rules.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Where it stands: the name of the file and the line.
    pub(crate) at: (Box<str>, u32),
    /// Its index in the set.
    pub(crate) place: u32,
    /// Its number; that of the first link for all links.
    pub(crate) id: u32,
    /// The phase in which it runs, `1..=2`.
    pub(crate) phase: u8,
    /// What it looks at. Empty: it always matches.
    pub(crate) targets: Targets,
    /// For each of the included targets, which variables of the transaction it means.
    pub(crate) places: Vec<Vec<u32>>,
    /// What it looks for.
    pub(crate) operator: Operator,
    /// Whether it matches what the operator does not.
    pub(crate) is_negated: bool,
    /// What is undone before.
    pub(crate) node: Node,
    /// Whether it also looks at what is between two transformations.
    pub(crate) is_multi_match: bool,
    /// Whether the match becomes `TX:0`.
    pub(crate) captures: bool,
    /// Whether the groups of the pattern are asked for.
    pub(crate) needs_groups: bool,
    /// The place in the prefilter of what it needs.
    pub(crate) needs: Option<u32>,
    /// What it sets.
    pub(crate) assignments: Vec<Assignment>,
    /// What it changes about the rules to come.
    pub(crate) controls: Vec<Change>,
    /// What it says; of the first link.
    pub(crate) saying: Saying,
    /// Whether the next rule is a link of this one.
    pub(crate) is_chained: bool,
    /// What it asks for.
    pub(crate) verdict: Verdict,
    /// Where the phase goes on, as an index into its list, if not at the next rule.
    pub(crate) next: Option<u32>,
    /// The marker behind which the phase goes on.
    pub(crate) skip_after: Option<Box<str>>,
    /// How many rules of the phase are left out.
    pub(crate) skip_count: u32,
}

/// What a rule says when it matches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saying {
    /// Whether it says nothing.
    pub(crate) is_silent: bool,
    /// The message.
    pub(crate) message: Template,
    /// The message as written.
    pub(crate) message_text: Box<str>,
    /// The tags.
    pub(crate) tags: Box<[Box<str>]>,
    /// How bad it is.
    pub(crate) severity: Option<Severity>,
}

/// A [`Control`] with the rules that it means.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// What is changed.
    pub(crate) control: Control,
    /// Of which rules, as their indices in order.
    pub(crate) rules: Box<[u32]>,
}
