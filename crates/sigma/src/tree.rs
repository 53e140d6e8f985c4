//! Predicates joined by and, or, not.

use std::fmt::Write;

use crate::predicate::{Predicate, Subject};

/// A tree of predicates, as the parser builds it.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
    Leaf(Box<Predicate>),
}

impl Tree {
    pub(crate) fn leaf(predicate: Predicate) -> Self {
        Self::Leaf(Box::new(predicate))
    }

    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Joins trees; a single one stays itself.
    pub(crate) fn all(mut trees: Vec<Self>) -> Self {
        if trees.len() == 1 { trees.remove(0) } else { Self::And(trees) }
    }

    /// Joins trees; a single one stays itself.
    pub(crate) fn any(mut trees: Vec<Self>) -> Self {
        if trees.len() == 1 { trees.remove(0) } else { Self::Or(trees) }
    }

    /// How dear an answer is at worst, in the units of a predicate's cost.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::And(children) | Self::Or(children) => {
                children.iter().fold(0, |sum, it| it.cost().saturating_add(sum))
            }
            Self::Not(inner) => inner.cost(),
            Self::Leaf(predicate) if predicate.subject == Subject::Anywhere => 100 + predicate.test.cost(),
            Self::Leaf(predicate) => predicate.test.cost(),
        }
    }

    /// Appends the tree as text: what the version of a rule is made of.
    pub(crate) fn write_canonical(&self, out: &mut String) {
        match self {
            Self::And(children) => write_children(out, "and", children),
            Self::Or(children) => write_children(out, "or", children),
            Self::Not(inner) => write_children(out, "not", std::slice::from_ref(&**inner)),
            Self::Leaf(predicate) => out.push_str(&predicate.canonical()),
        }
    }
}

impl Predicate {
    /// The predicate as text: equal for equal predicates, different for different ones.
    pub(crate) fn canonical(&self) -> String {
        let mut out = String::from("[");
        match &self.subject {
            Subject::Field(name) => _ = write!(out, "{name:?} "),
            Subject::Anywhere => out.push_str("anywhere "),
        }
        out.push_str(&self.test.canonical());
        out.push(']');
        out
    }
}

fn write_children(out: &mut String, word: &str, children: &[Tree]) {
    out.push_str(word);
    out.push('(');
    for child in children {
        child.write_canonical(out);
    }
    out.push(')');
}
