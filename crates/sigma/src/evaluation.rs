//! One event against the program: each predicate is answered at most once.

use crate::event::{FieldId, Fields, Value};
use crate::predicate::{Test, ValueKind};
use crate::program::{ANYWHERE, Compiled, Node, NodeIndex, Program, Slot};
use crate::scratch::Scratch;
use crate::witness::Index;

/// An event being evaluated.
pub(crate) struct Evaluation<'a, E: ?Sized> {
    pub(crate) program: &'a Program,
    pub(crate) event: &'a E,
    pub(crate) scratch: &'a mut Scratch,
}

impl<E: Fields + ?Sized> Evaluation<'_, E> {
    /// Whether the tree below `index` holds. Trees are no deeper than conditions and documents may nest.
    pub(crate) fn holds(&mut self, index: NodeIndex) -> bool {
        let program = self.program;
        match program.nodes[index as usize] {
            Node::And { start, end } => program.children(start, end).iter().all(|it| self.holds(*it)),
            Node::Or { start, end } => program.children(start, end).iter().any(|it| self.holds(*it)),
            Node::Not(inner) => !self.holds(inner),
            Node::Leaf(predicate) => self.answer(predicate as usize),
        }
    }

    /// Returns the rules that may match, some of them twice: those without a witness, and those whose was seen.
    ///
    /// The list is the scratch's own; give it back.
    pub(crate) fn candidates(&mut self, index: &Index) -> Vec<u32> {
        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        candidates.extend_from_slice(&index.always);
        for field in &index.fields {
            let slot = self.load(field.slot);
            for value in self.scratch.values(slot) {
                candidates.extend_from_slice(field.rules_for(value));
            }
        }
        candidates
    }

    fn answer(&mut self, predicate: usize) -> bool {
        let known = self.scratch.answers[predicate];
        if known >> 1 == self.scratch.epoch {
            return known & 1 == 1;
        }
        let answer = self.ask(&self.program.predicates[predicate]);
        self.scratch.answers[predicate] = self.scratch.epoch << 1 | u64::from(answer);
        answer
    }

    fn ask(&mut self, compiled: &Compiled) -> bool {
        let slot = self.load(compiled.slot);
        match (&compiled.test, compiled.other) {
            (Test::Exists, _) => self.scratch.slots[slot].is_present,
            (test @ Test::Null, _) => {
                !self.scratch.slots[slot].is_present || self.scratch.values(slot).any(|it| test.holds(it))
            }
            (test @ Test::FieldRef { .. }, Some(other)) => {
                let other = self.load(other);
                self.refers(test, slot, other)
            }
            (test, _) => self.scratch.values(slot).any(|it| test.holds(it)),
        }
    }

    /// Whether any value of one field stands in the asked place of any value of the other.
    fn refers(&self, test: &Test, slot: usize, other: usize) -> bool {
        let Test::FieldRef { place, is_cased, .. } = test else { return false };
        let present = |slot| self.scratch.values(slot).filter(|it| it.kind != ValueKind::Null);
        present(slot).any(|whole| {
            present(other).any(|part| {
                if *is_cased { place.holds(whole.raw, part.raw) } else { place.holds(whole.folded, part.folded) }
            })
        })
    }

    /// Loads a slot and returns its place in the scratch.
    pub(crate) fn load(&mut self, slot: Slot) -> usize {
        let event = self.event;
        if slot == ANYWHERE {
            let last = self.program.fields.len();
            self.scratch.load(last, |see| event.visit_texts(&mut |text| see(Value::Text(text))));
            return last;
        }
        self.scratch.load(slot as usize, |see| event.visit(FieldId(slot), see));
        slot as usize
    }
}
