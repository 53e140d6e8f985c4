//! What must be there for a rule to match: a cheap look before the rule is evaluated.
//!
//! A witness is a set of exact values of fields, at least one of which an event must hold. Rules without one are
//! always evaluated.

use std::collections::HashMap;

use crate::pattern::Pattern;
use crate::predicate::{Seen, Test, ValueKind};
use crate::program::{Node, NodeIndex, Program, Slot};

/// The largest witness; a rule with more values is always evaluated. Each value costs a place in a hash table.
const WITNESS_VALUES_MAX: usize = 256;

/// Longer whole numbers than this are compared as floats, so their text decides nothing.
const EXACT_DIGITS_MAX: usize = 38;

/// One exact value that a field must hold, folded.
type Needed<'a> = (Slot, &'a str);

/// Which rules to evaluate for which values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Rules without a witness.
    pub(crate) always: Vec<u32>,
    pub(crate) fields: Vec<FieldIndex>,
}

/// The values of one field.
#[derive(Clone, Debug)]
pub(crate) struct FieldIndex {
    pub(crate) slot: Slot,
    rules_of: HashMap<Box<str>, Vec<u32>>,
    all: Vec<u32>,
}

impl Index {
    /// Indexes rules, given with their roots.
    pub(crate) fn new(program: &Program, rules: impl Iterator<Item = (u32, NodeIndex)>) -> Self {
        let mut index = Self::default();
        for (rule, root) in rules {
            match witness(program, root).filter(|it| it.len() <= WITNESS_VALUES_MAX) {
                Some(witness) => index.add(rule, &witness),
                None => index.always.push(rule),
            }
        }
        index
    }

    fn add(&mut self, rule: u32, witness: &[Needed<'_>]) {
        for (slot, value) in witness {
            let at = self.fields.iter().position(|it| it.slot == *slot).unwrap_or_else(|| {
                self.fields.push(FieldIndex { slot: *slot, rules_of: HashMap::new(), all: Vec::new() });
                self.fields.len() - 1
            });
            let field = &mut self.fields[at];
            field.rules_of.entry((*value).into()).or_default().push(rule);
            if field.all.last() != Some(&rule) {
                field.all.push(rule);
            }
        }
    }
}

impl FieldIndex {
    /// Returns the rules that a value of this field may make true.
    pub(crate) fn rules_for(&self, value: Seen<'_>) -> &[u32] {
        match value.kind {
            ValueKind::Null => &[],
            ValueKind::Number if !is_canonical_whole(value.raw) => &self.all,
            _ => self.rules_of.get(value.folded).map_or(&[], Vec::as_slice),
        }
    }
}

/// Whether equal numbers have this same text.
fn is_canonical_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let is_plain = digits.iter().all(u8::is_ascii_digit) && digits.len() <= EXACT_DIGITS_MAX;
    is_plain && (text == "0" || digits.first().is_some_and(|it| *it != b'0'))
}

/// Finds the smallest set of values of which one must be there; `None` when the tree may hold without any.
fn witness(program: &Program, root: NodeIndex) -> Option<Vec<Needed<'_>>> {
    match program.nodes[root as usize] {
        Node::And { start, end } => {
            let witnesses = program.children(start, end).iter().filter_map(|it| witness(program, *it));
            witnesses.min_by_key(Vec::len)
        }
        Node::Or { start, end } => {
            let witnesses = program.children(start, end).iter().map(|it| witness(program, *it));
            witnesses.collect::<Option<Vec<_>>>().map(|it| it.concat())
        }
        Node::Not(_) => None,
        Node::Leaf(predicate) => {
            let compiled = &program.predicates[predicate as usize];
            match &compiled.test {
                Test::Text { pattern: Pattern::Equals(text), is_cased: false, .. } => Some(vec![(compiled.slot, text)]),
                Test::Number { text, .. } => Some(vec![(compiled.slot, text)]),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_whole_numbers_are_known_by_their_text() {
        let long = "1".repeat(EXACT_DIGITS_MAX);
        for text in ["0", "1", "-1", "4688", &long] {
            assert!(is_canonical_whole(text), "{text}");
        }
        for text in ["-0", "1.0", "1e3", "01", "", "-", &format!("{long}1")] {
            assert!(!is_canonical_whole(text), "{text}");
        }
    }
}
