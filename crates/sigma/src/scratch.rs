//! Memory that one worker reuses from event to event.

use std::fmt::Write;
use std::ops::Range;

use crate::event::Value;
use crate::fold::fold_into;
use crate::predicate::{Seen, ValueKind};
use crate::routing::Routing;
use crate::witness::Index;

/// How much text is kept allocated between events, in bytes. A larger event's memory is given back.
const TEXT_KEPT_BYTES_MAX: usize = 1024 * 1024;

/// How many combinations of logsource have an index at a time. Real inputs have some dozens; beyond it all are
/// dropped and built again when asked for.
const GROUPS_MAX: usize = 256;

/// What was found out about the event at hand, and indexes that outlive it. One for each worker and rule set;
/// used with another rule set it begins anew.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(crate) fingerprint: u64,
    pub(crate) epoch: u64,
    /// For each predicate twice the epoch of its answer, plus the answer.
    pub(crate) answers: Vec<u64>,
    pub(crate) slots: Vec<SlotState>,
    /// For each rule the epoch in which it was last evaluated.
    pub(crate) evaluated: Vec<u64>,
    pub(crate) groups: Groups,
    /// Rules whose witness was seen, some of them twice.
    pub(crate) candidates: Vec<u32>,
    values: Vec<Stored>,
    text: String,
}

/// What is known of a field of the event at hand.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotState {
    pub(crate) epoch: u64,
    pub(crate) is_present: bool,
    values: Range<usize>,
}

#[derive(Clone, Debug)]
struct Stored {
    kind: ValueKind,
    raw: Range<usize>,
    folded: Range<usize>,
}

/// A combination of logsource that groups of rules are made for: dimensions by their number among the names that
/// rules use, 0 for absent, 1 for a name that no rule uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupKey {
    pub(crate) routing: Routing,
    pub(crate) is_complete: bool,
    pub(crate) dimensions: [u32; 3],
}

/// The indexes of the combinations met so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    entries: Vec<(GroupKey, Index)>,
    /// The place of the last one: inputs come in batches of a kind.
    last: usize,
}

impl Scratch {
    /// Returns an empty scratch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the event, and all when it belonged to other rules.
    pub(crate) fn begin(&mut self, fingerprint: u64, predicates: usize, slots: usize, rules: usize) {
        if self.fingerprint != fingerprint || self.answers.len() != predicates || self.slots.len() != slots {
            *self = Self { fingerprint, ..Self::default() };
            self.answers.resize(predicates, 0);
            self.slots.resize(slots, SlotState::default());
            self.evaluated.resize(rules, 0);
        }
        self.epoch += 1;
        self.values.clear();
        self.text.clear();
        if TEXT_KEPT_BYTES_MAX < self.text.capacity() {
            self.text.shrink_to(TEXT_KEPT_BYTES_MAX);
        }
    }

    /// Fills a slot by `visit`, which shows the values and says whether the field is present.
    pub(crate) fn load(&mut self, slot: usize, visit: impl FnOnce(&mut dyn FnMut(Value<'_>) -> bool) -> bool) {
        if self.slots[slot].epoch == self.epoch {
            return;
        }
        let start = self.values.len();
        let (values, text) = (&mut self.values, &mut self.text);
        let is_present = visit(&mut |value| {
            values.push(store(text, value));
            false
        });
        self.slots[slot] = SlotState { epoch: self.epoch, is_present, values: start..self.values.len() };
    }

    /// Returns the values of a slot that was loaded.
    pub(crate) fn values(&self, slot: usize) -> impl Iterator<Item = Seen<'_>> {
        self.values[self.slots[slot].values.clone()].iter().map(|it| Seen {
            kind: it.kind,
            raw: &self.text[it.raw.clone()],
            folded: &self.text[it.folded.clone()],
        })
    }
}

impl Groups {
    /// Takes the index of a combination out, built by `build` if there is none; hand it back with [`Self::put`].
    pub(crate) fn take(&mut self, key: GroupKey, build: impl FnOnce() -> Index) -> Index {
        if self.entries.get(self.last).is_none_or(|(it, _)| *it != key) {
            self.last = self.entries.iter().position(|(it, _)| *it == key).unwrap_or(self.entries.len());
        }
        match self.entries.get_mut(self.last) {
            Some((_, index)) => std::mem::take(index),
            None => {
                if self.entries.len() == GROUPS_MAX {
                    self.entries.clear();
                }
                self.last = self.entries.len();
                self.entries.push((key, Index::default()));
                build()
            }
        }
    }

    pub(crate) fn put(&mut self, index: Index) {
        if let Some((_, slot)) = self.entries.get_mut(self.last) {
            *slot = index;
        }
    }
}

fn store(text: &mut String, value: Value<'_>) -> Stored {
    let start = text.len();
    let (kind, original) = match value {
        Value::Null => (ValueKind::Null, ""),
        Value::Bool(true) => (ValueKind::Bool, "true"),
        Value::Bool(false) => (ValueKind::Bool, "false"),
        Value::Number(it) => (ValueKind::Number, it),
        Value::Text(it) => (ValueKind::Text, it),
        Value::Integer(it) => {
            // Writing to a `String` cannot fail.
            _ = write!(text, "{it}");
            let raw = start..text.len();
            return Stored { kind: ValueKind::Number, folded: raw.clone(), raw };
        }
    };
    text.push_str(original);
    let raw = start..text.len();
    if original.bytes().all(|it| it.is_ascii() && !it.is_ascii_uppercase()) {
        return Stored { kind, folded: raw.clone(), raw };
    }
    fold_into(text, original);
    Stored { kind, folded: raw.end..text.len(), raw }
}
