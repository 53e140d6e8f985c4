//! The parts of one request, and what transformations make of them.

use crate::arena::{Arena, Span};
use crate::bytes::ByteSet;
use crate::chains::{Node, ROOT};
use crate::rule_set::RuleSet;
use crate::target::Collection;

/// The most values of a request: each argument, header and cookie has two, itself and its name. What comes beyond is not
/// looked at, and the outcome says so.
pub const VALUES_MAX: usize = 4_000;

/// Where nothing was computed yet.
const NONE: u32 = u32::MAX;

/// A part of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    /// Its name within the collection.
    pub(crate) name: Span,
    /// Its text before any transformation.
    root: u32,
    class: u16,
}

/// A text: a part of the request, or what transformations made of it.
#[derive(Clone, Copy, Debug)]
struct Text {
    span: Span,
    bytes: ByteSet,
    /// Where the hits of the prefilter are, if it was scanned.
    hits: u32,
    /// The text that it differs from in the case of letters only.
    folded_from: u32,
}

/// The parts of one request, with their texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    /// The bytes.
    pub(crate) arena: Arena,
    stored: Vec<Stored>,
    by_collection: [Vec<u32>; Collection::STORED_COUNT],
    texts: Vec<Text>,
    /// For each value, the text of each chain.
    by_node: Vec<u32>,
    hits: Vec<u64>,
    /// Which needs may be met by any text.
    candidates: Vec<u64>,
    work: Vec<u8>,
    prepared: usize,
    /// Whether a value found no room.
    pub(crate) is_full: bool,
}

impl Values {
    /// Forgets the former request.
    pub(crate) fn clear(&mut self, set: &RuleSet) {
        self.arena.clear();
        self.stored.clear();
        self.by_collection.iter_mut().for_each(Vec::clear);
        self.texts.clear();
        self.by_node.clear();
        self.hits.clear();
        self.candidates.clear();
        self.candidates.resize(set.prefilter.words(), 0);
        self.prepared = 0;
        self.is_full = false;
    }

    /// Adds a part of the request.
    pub(crate) fn push(&mut self, set: &RuleSet, collection: Collection, name: &[u8], text: &[u8]) {
        if VALUES_MAX <= self.stored.len() {
            self.is_full = true;
            return;
        }
        let place = self.stored.len();
        let root = self.push_text(text, NONE);
        let stored = Stored { name: self.arena.push(name), root, class: set.classes.of(collection, name) };
        self.stored.push(stored);
        self.by_node.resize((place + 1) * set.chains.len(), NONE);
        self.by_node[place * set.chains.len() + usize::from(ROOT)] = root;
        self.by_collection[collection as usize].push(place_of(place));
    }

    fn push_text(&mut self, text: &[u8], folded_from: u32) -> u32 {
        let span = self.arena.push(text);
        self.texts.push(Text { span, bytes: ByteSet::of(text), hits: NONE, folded_from });
        place_of(self.texts.len() - 1)
    }

    /// Reads every value that was added since the last time: transforms it as rules want it and looks for literals.
    pub(crate) fn prepare(&mut self, set: &RuleSet) {
        for value in self.prepared..self.stored.len() {
            let Stored { root, class, .. } = self.stored[value];
            for (node, mask) in &set.classes.get(class).steps {
                let text = self.text_at(set, place_of(value), *node, Some(root));
                let Some(mask) = mask else { continue };
                let from = self.scan(set, text);
                let hits = &self.hits[from..from + mask.len()];
                for ((all, hit), mask) in self.candidates.iter_mut().zip(hits).zip(mask) {
                    *all |= hit & mask;
                }
            }
        }
        self.prepared = self.stored.len();
    }

    /// The text of a value after a chain of transformations. `first` is the first text that belongs to this value and no
    /// other, if all behind it do: an equal one is taken instead of a new one.
    fn text_at(&mut self, set: &RuleSet, value: u32, node: Node, first: Option<u32>) -> u32 {
        let slot = value as usize * set.chains.len() + usize::from(node);
        if self.by_node[slot] != NONE {
            return self.by_node[slot];
        }
        // The root is always there.
        let Some(step) = set.chains.step(node) else { return self.stored[value as usize].root };
        let parent = self.text_at(set, value, step.parent, first);
        let text = &self.texts[parent as usize];
        let place = if text.bytes.meets(&step.wakes_at) || text.span.len() == 0 {
            let mut work = std::mem::take(&mut self.work);
            step.transform.apply(self.arena.get(text.span), &mut work);
            let place = self.place_of_text(&work, parent, first.unwrap_or(parent));
            let place = place
                .unwrap_or_else(|| self.push_text(&work, if step.transform.only_folds_case() { parent } else { NONE }));
            self.work = work;
            place
        } else {
            parent
        };
        self.by_node[slot] = place;
        place
    }

    /// The place of this text, if it is `parent` or one from `first` on.
    fn place_of_text(&self, text: &[u8], parent: u32, first: u32) -> Option<u32> {
        /// The most texts that are compared. More are rare, and cost no more than being scanned again.
        const COMPARED_MAX: usize = 12;
        let is_equal = |place: u32| self.arena.get(self.texts[place as usize].span) == text;
        let is_own = first != parent || self.texts.len() - 1 == parent as usize;
        let others = (first..place_of(self.texts.len())).take(if is_own { COMPARED_MAX } else { 0 });
        std::iter::once(parent).chain(others).find(|it| is_equal(*it))
    }

    /// Looks for literals in a text; returns where the hits are.
    fn scan(&mut self, set: &RuleSet, place: u32) -> usize {
        let text = self.texts[place as usize];
        if text.hits != NONE {
            return text.hits as usize;
        }
        let from = if text.folded_from == NONE {
            let from = self.hits.len();
            self.hits.resize(from + set.prefilter.words(), 0);
            set.prefilter.scan(self.arena.get(text.span), &mut self.hits[from..]);
            from
        } else {
            // Literals are looked for in any case.
            self.scan(set, text.folded_from)
        };
        self.texts[place as usize].hits = place_of(from);
        from
    }

    /// Whether any text that was prepared has a literal of this need.
    pub(crate) fn is_candidate(&self, need: u32) -> bool {
        self.candidates[need as usize / 64] & (1 << (need % 64)) != 0
    }

    /// Whether a text of a value may meet a need.
    pub(crate) fn allows(&self, set: &RuleSet, need: u32, text: u32) -> bool {
        let text = &self.texts[text as usize];
        let hits =
            (text.hits != NONE).then(|| &self.hits[text.hits as usize..text.hits as usize + set.prefilter.words()]);
        set.prefilter.allows(need, &text.bytes, hits)
    }

    /// Whether it is known already that the text of a value after a chain of transformations cannot meet a need.
    pub(crate) fn is_spared(&self, set: &RuleSet, need: u32, value: u32, node: Node) -> bool {
        let text = self.by_node[value as usize * set.chains.len() + usize::from(node)];
        text != NONE && !self.allows(set, need, text)
    }

    /// How many values a collection has.
    pub(crate) fn count(&self, collection: Collection) -> usize {
        self.by_collection[collection as usize].len()
    }

    /// A value of a collection.
    pub(crate) fn value(&self, collection: Collection, at: usize) -> u32 {
        self.by_collection[collection as usize][at]
    }

    /// The name of a value.
    pub(crate) fn name(&self, value: u32) -> Span {
        self.stored[value as usize].name
    }

    /// The text of a value before any transformation.
    pub(crate) fn raw(&self, value: u32) -> Span {
        self.texts[self.stored[value as usize].root as usize].span
    }

    /// The text of a value after a chain of transformations.
    pub(crate) fn transformed(&mut self, set: &RuleSet, value: u32, node: Node) -> u32 {
        self.text_at(set, value, node, None)
    }

    /// Where a text is, and which bytes it has.
    pub(crate) fn text(&self, text: u32) -> (Span, ByteSet) {
        let text = &self.texts[text as usize];
        (text.span, text.bytes)
    }

    /// Transforms a text that is no part of the request.
    pub(crate) fn transform_other(&mut self, set: &RuleSet, span: Span, node: Node) -> Span {
        let Some(step) = set.chains.step(node) else { return span };
        let span = self.transform_other(set, span, step.parent);
        let mut work = std::mem::take(&mut self.work);
        step.transform.apply(self.arena.get(span), &mut work);
        let span = self.arena.push(&work);
        self.work = work;
        span
    }
}

/// A place as it is kept. Values, texts and hits are bounded far below its largest.
fn place_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(NONE)
}
