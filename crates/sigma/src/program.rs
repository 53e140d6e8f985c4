//! Trees flattened: every distinct predicate once, and nodes in one arena.

use std::collections::HashMap;

use crate::event::FieldId;
use crate::predicate::{Predicate, Subject, Test};
use crate::tree::Tree;

/// A place in [`Program::nodes`].
pub(crate) type NodeIndex = u32;

/// Where the values of an event are kept: a field's place, or behind all fields for "anywhere".
pub(crate) type Slot = u32;

/// The slot of every text of the event.
pub(crate) const ANYWHERE: Slot = Slot::MAX;

/// A node; its children lie in a run of [`Program::children`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    And { start: u32, end: u32 },
    Or { start: u32, end: u32 },
    Not(NodeIndex),
    Leaf(u32),
}

/// A predicate whose fields have places.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) slot: Slot,
    /// The slot of the other field of a reference.
    pub(crate) other: Option<Slot>,
    pub(crate) test: Test,
}

/// Everything that rules ask, in flat tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) fields: Vec<String>,
    pub(crate) predicates: Vec<Compiled>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) children: Vec<NodeIndex>,
}

/// Builds a program; knows what is there already.
#[derive(Default)]
pub(crate) struct Builder {
    pub(crate) program: Program,
    fields: HashMap<String, Slot>,
    predicates: HashMap<String, u32>,
}

impl Builder {
    /// Returns the place of a field, a new one if it has none.
    pub(crate) fn field(&mut self, name: &str) -> FieldId {
        if let Some(slot) = self.fields.get(name) {
            return FieldId(*slot);
        }
        let slot = place(self.program.fields.len());
        self.program.fields.push(name.to_owned());
        self.fields.insert(name.to_owned(), slot);
        FieldId(slot)
    }

    /// Adds a tree; the cheaper of its children come first.
    pub(crate) fn add(&mut self, tree: &Tree) -> NodeIndex {
        let node = match tree {
            Tree::And(children) => {
                let (start, end) = self.add_children(children);
                Node::And { start, end }
            }
            Tree::Or(children) => {
                let (start, end) = self.add_children(children);
                Node::Or { start, end }
            }
            Tree::Not(inner) => Node::Not(self.add(inner)),
            Tree::Leaf(predicate) => Node::Leaf(self.predicate(predicate)),
        };
        self.program.nodes.push(node);
        place(self.program.nodes.len() - 1)
    }

    fn add_children(&mut self, children: &[Tree]) -> (u32, u32) {
        let mut ordered: Vec<&Tree> = children.iter().collect();
        ordered.sort_by_key(|it| it.cost());
        let indexes: Vec<NodeIndex> = ordered.into_iter().map(|it| self.add(it)).collect();
        let start = place(self.program.children.len());
        self.program.children.extend(indexes);
        (start, place(self.program.children.len()))
    }

    fn predicate(&mut self, predicate: &Predicate) -> u32 {
        let canonical = predicate.canonical();
        if let Some(index) = self.predicates.get(&canonical) {
            return *index;
        }
        let slot = match &predicate.subject {
            Subject::Field(name) => self.field(name).0,
            Subject::Anywhere => ANYWHERE,
        };
        let other = match &predicate.test {
            Test::FieldRef { other, .. } => Some(self.field(other).0),
            _ => None,
        };
        let index = place(self.program.predicates.len());
        self.program.predicates.push(Compiled { slot, other, test: predicate.test.clone() });
        self.predicates.insert(canonical, index);
        index
    }
}

impl Program {
    pub(crate) fn children(&self, start: u32, end: u32) -> &[NodeIndex] {
        &self.children[start as usize..end as usize]
    }

    /// Returns the slots that the tree below `root` looks at, each once, in order.
    pub(crate) fn slots_below(&self, root: NodeIndex) -> Vec<Slot> {
        let mut slots = Vec::new();
        let mut open = vec![root];
        while let Some(index) = open.pop() {
            match self.nodes[index as usize] {
                Node::And { start, end } | Node::Or { start, end } => {
                    open.extend(self.children(start, end).iter().rev());
                }
                Node::Not(inner) => open.push(inner),
                Node::Leaf(predicate) => {
                    let compiled = &self.predicates[predicate as usize];
                    slots.extend([Some(compiled.slot), compiled.other].into_iter().flatten());
                }
            }
        }
        let mut seen = std::collections::HashSet::new();
        slots.retain(|it| seen.insert(*it));
        slots
    }
}

/// A place in a table. Files are bounded, so that no table grows beyond 32 bits.
pub(crate) fn place(length: usize) -> u32 {
    u32::try_from(length).expect("a table of four thousand million entries does not fit in memory")
}
