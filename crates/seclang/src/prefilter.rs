//! Which rules a request need not be shown.
//!
//! One searcher holds the literals of all rules. Each text is read by it once; a rule none of whose literals is in any
//! of the texts that it looks at is not run.

use std::collections::HashMap;

use crate::bytes::ByteSet;
use crate::chains::{Chains, Node, ROOT};
use crate::needs::Needs;
use crate::rule::Rule;
use crate::searcher::Searcher;
use crate::target::{Collection, Selector};

/// The literals and bytes that rules need.
#[derive(Clone, Debug)]
pub(crate) struct Prefilter {
    needs: Vec<Needs>,
    searcher: Searcher,
    /// For each literal, which of the needs it is of.
    owners: Vec<Box<[u32]>>,
}

impl Prefilter {
    /// Makes the prefilter of these needs.
    pub(crate) fn new(needs: Vec<Needs>) -> Self {
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        let mut literals = Vec::new();
        let mut owners: Vec<Vec<u32>> = Vec::new();
        for (owner, it) in (0_u32..).zip(&needs) {
            for literal in &it.literals {
                let place = *places.entry(literal).or_insert_with(|| {
                    literals.push(literal.clone());
                    owners.push(Vec::new());
                    owners.len() - 1
                });
                owners[place].push(owner);
            }
        }
        Self {
            searcher: Searcher::new(&literals),
            owners: owners.into_iter().map(Vec::into_boxed_slice).collect(),
            needs,
        }
    }

    /// How many words a set of needs takes.
    pub(crate) fn words(&self) -> usize {
        self.needs.len().div_ceil(64)
    }

    /// Sets in `hits` the bit of each need that has a literal in `text`.
    pub(crate) fn scan(&self, text: &[u8], hits: &mut [u64]) {
        self.searcher.find(text, |literal| {
            for owner in &self.owners[literal] {
                hits[*owner as usize / 64] |= 1 << (owner % 64);
            }
        });
    }

    /// Whether a text may match that has these bytes, and these hits if it was scanned.
    pub(crate) fn allows(&self, need: u32, bytes: &ByteSet, hits: Option<&[u64]>) -> bool {
        let needs = &self.needs[need as usize];
        let is_hit = |hits: &[u64]| hits[need as usize / 64] & (1 << (need % 64)) != 0;
        (needs.literals.is_empty() || hits.is_none_or(is_hit)) && needs.allow(bytes)
    }

    /// Whether a need has literals.
    pub(crate) fn has_literals(&self, need: u32) -> bool {
        !self.needs[need as usize].literals.is_empty()
    }
}

/// Values that the same rules look at: those of a collection, or of one member of it that some rule names.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    /// The chains to compute, parents first, each with the needs that are asked of its text.
    pub(crate) steps: Vec<(Node, Option<Box<[u64]>>)>,
}

/// The classes of all values.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    classes: Vec<Class>,
    /// For each collection: the class of members without a class of their own.
    others: [u16; Collection::STORED_COUNT],
    /// For each collection: members with a class of their own.
    named: Vec<Vec<(Box<[u8]>, u16)>>,
}

/// The most members that get a class of their own; the others share one. So the cost of telling them apart is bounded.
const NAMED_MAX: usize = 64;

impl Classes {
    /// The classes that tell apart what `rules` look at.
    pub(crate) fn new(rules: &[Rule], chains: &Chains, words: usize) -> Self {
        let mut made = Self { classes: Vec::new(), others: [0; Collection::STORED_COUNT], named: Vec::new() };
        for at in 0..Collection::STORED_COUNT {
            let names = names_in(at, rules);
            let all = Members { collection: at, named: &names };
            made.others[at] = made.push(class(&all, None, rules, chains, words));
            let places = names.iter().map(|it| made.push(class(&all, Some(it), rules, chains, words)));
            let places: Vec<u16> = places.collect();
            made.named.push(names.into_iter().zip(places).collect());
        }
        made
    }

    fn push(&mut self, class: Class) -> u16 {
        // At most NAMED_MAX + 1 for each collection.
        let place = u16::try_from(self.classes.len()).unwrap_or(u16::MAX);
        self.classes.push(class);
        place
    }

    /// The class of a member of a collection.
    pub(crate) fn of(&self, collection: Collection, name: &[u8]) -> u16 {
        let named = &self.named[collection as usize];
        named.iter().find(|it| it.0.eq_ignore_ascii_case(name)).map_or(self.others[collection as usize], |it| it.1)
    }

    /// A class by its place.
    pub(crate) fn get(&self, place: u16) -> &Class {
        &self.classes[usize::from(place)]
    }
}

/// The members of a collection that rules name.
fn names_in(collection: usize, rules: &[Rule]) -> Vec<Box<[u8]>> {
    let mut names: Vec<Box<[u8]>> = Vec::new();
    for rule in rules {
        let parts = rule.targets.included.iter().map(|it| &it.part).chain(&rule.targets.excluded);
        for part in parts.filter(|it| it.collections.iter().any(|it| *it as usize == collection)) {
            if let Selector::Name(name) = &part.selector
                && names.len() < NAMED_MAX
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
    }
    names
}

/// The members of a collection.
struct Members<'a> {
    collection: usize,
    /// Those with a class of their own.
    named: &'a [Box<[u8]>],
}

/// The class of the member `name` of a collection; without a name, of those that have no class of their own.
fn class(all: &Members, name: Option<&[u8]>, rules: &[Rule], chains: &Chains, words: usize) -> Class {
    let mut masks: Vec<Option<Box<[u64]>>> = vec![None; chains.len()];
    let mut is_needed = vec![false; chains.len()];
    for rule in rules {
        let Some(need) = rule.needs.filter(|_| looks_at(rule, all, name)) else { continue };
        for node in chains.path(rule.node) {
            is_needed[usize::from(node)] = true;
            if node == rule.node || rule.is_multi_match {
                let mask = masks[usize::from(node)].get_or_insert_with(|| vec![0; words].into_boxed_slice());
                mask[need as usize / 64] |= 1 << (need % 64);
            }
        }
    }
    let nodes = (ROOT..).zip(masks).filter(|it| is_needed[usize::from(it.0)]);
    Class { steps: nodes.collect() }
}

fn looks_at(rule: &Rule, all: &Members, name: Option<&[u8]>) -> bool {
    rule.targets.included.iter().any(|target| {
        let is_of_it = !target.is_count && target.part.collections.iter().any(|it| *it as usize == all.collection);
        let is_selected = match (&target.part.selector, name) {
            (Selector::Name(it), None) => !all.named.contains(it),
            (Selector::All | Selector::Matching(_), None) => true,
            (selector, Some(name)) => selector.selects(name) && !rule.targets.excludes(target.part.shown, name),
        };
        is_of_it && is_selected
    })
}
