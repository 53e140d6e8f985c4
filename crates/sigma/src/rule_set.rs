//! Documents joined to one rule set that answers which rules an event matches.

use std::collections::HashMap;
use std::fmt::Write;

use crate::correlation::{Correlation, Count};
use crate::digest::version_of;
use crate::document::{Document, Rule};
use crate::error::{Refusal, RuleError};
use crate::evaluation::Evaluation;
use crate::event::{FieldId, Fields, Value};
use crate::header::Header;
use crate::program::{ANYWHERE, Builder, NodeIndex, Program, place};
use crate::routing::{LogSource, Routing, RuleSource};
use crate::scratch::{GroupKey, Scratch};
use crate::tree::Tree;
use crate::witness::Index;

/// How many values an explanation shows; a rule that looks at more shows the first.
const EXPLAINED_VALUES_MAX: usize = 64;

/// How much of a value an explanation shows, in characters; more would not be read.
const EXPLAINED_CHARS_MAX: usize = 1_024;

/// The name under which an explanation shows the texts that keywords were searched in.
const ANYWHERE_NAME: &str = "(any)";

/// A place in [`RuleSet::rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub u32);

/// A rule that was compiled.
#[derive(Clone, Debug)]
pub struct CompiledRule {
    /// Names and words.
    pub header: Header,
    /// Which events it is for.
    pub source: RuleSource,
    /// 16 hexadecimal digits that change with what the rule detects, and with nothing else.
    pub version: String,
    /// Whether a match is an alert; false for the rules of a correlation that does not generate.
    pub raises_alerts: bool,
    root: NodeIndex,
    /// Whether it is not evaluated.
    is_suspended: bool,
}

/// A correlation whose rules and fields were found.
#[derive(Clone, Debug)]
pub struct CompiledCorrelation {
    /// The correlation as it was written.
    pub correlation: Correlation,
    /// 16 hexadecimal digits that change with what the correlation or its rules detect, and with nothing else.
    pub version: String,
    /// The rules whose matches are counted, each once.
    pub rules: Vec<RuleIndex>,
    /// The fields whose values make the key.
    pub group_by: Vec<FieldId>,
    /// The field whose distinct values are counted.
    pub field: Option<FieldId>,
    /// The rule at whose events alone the condition is judged; one of `rules`, and not counted.
    pub trigger: Option<RuleIndex>,
    reset: Option<NodeIndex>,
}

/// Every rule, ready to be asked. Cheap to share: nothing in it changes.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<CompiledRule>,
    correlations: Vec<CompiledCorrelation>,
    program: Program,
    /// The names that rules use for product, category and service.
    names: [Vec<String>; 3],
    fingerprint: u64,
}

impl RuleSet {
    /// Joins documents to a rule set. Refused ones are listed and left out; the others work.
    ///
    /// Refused are names and ids that are taken, and correlations that refer to what is not there, to another
    /// correlation, or to a reset selection that their one rule does not have. The rules of a correlation that is
    /// refused here raise no alerts all the same: as rules of their own they would match everyday events.
    #[must_use]
    pub fn compile(documents: impl IntoIterator<Item = Document>) -> (Self, Vec<RuleError>) {
        let mut compiler = Compiler::default();
        let mut correlations = Vec::new();
        for document in documents {
            match compiler.claim(document) {
                Some(Document::Rule(rule)) => compiler.add_rule(*rule),
                Some(Document::Correlation(correlation)) => correlations.push(*correlation),
                None => {}
            }
        }
        compiler.mark_bases(&correlations);
        for correlation in correlations {
            let file = correlation.header.file.clone();
            if let Err(refusal) = compiler.add_correlation(correlation) {
                compiler.errors.push(refusal.of_file(&file));
            }
        }
        compiler.finish()
    }

    /// The rules over single events, those of correlations among them.
    #[must_use]
    pub fn rules(&self) -> &[CompiledRule] {
        &self.rules
    }

    /// Returns a rule by its place; `None` for a place of another rule set.
    #[must_use]
    pub fn rule(&self, index: RuleIndex) -> Option<&CompiledRule> {
        self.rules.get(index.0 as usize)
    }

    /// The correlations.
    #[must_use]
    pub fn correlations(&self) -> &[CompiledCorrelation] {
        &self.correlations
    }

    /// The names of the fields that rules and correlations ask for, in the order of [`FieldId`].
    #[must_use]
    pub fn field_names(&self) -> &[String] {
        &self.program.fields
    }

    /// How many distinct questions the rules ask.
    #[must_use]
    pub const fn predicate_count(&self) -> usize {
        self.program.predicates.len()
    }

    /// Fills `matched` with the rules that `event` matches, in the order of [`Self::rules`], instead of what was there.
    ///
    /// Allocates nothing once `scratch` and `matched` have grown, except for the first event of a logsource.
    pub fn evaluate<E: Fields + ?Sized>(
        &self,
        event: &E,
        source: LogSource<'_>,
        routing: Routing,
        scratch: &mut Scratch,
        matched: &mut Vec<RuleIndex>,
    ) {
        matched.clear();
        let (predicates, slots) = (self.program.predicates.len(), self.program.fields.len() + 1);
        scratch.begin(self.fingerprint, predicates, slots, self.rules.len());
        let index = scratch.groups.take(self.group_key(source, routing), || self.index_of(source, routing));
        let mut evaluation = Evaluation { program: &self.program, event, scratch };
        let mut candidates = evaluation.candidates(&index);
        for rule in &candidates {
            self.evaluate_rule(&mut evaluation, *rule, matched);
        }
        candidates.clear();
        scratch.candidates = candidates;
        scratch.groups.put(index);
        matched.sort_unstable();
    }

    /// Evaluates once more, one after another, the rules that had to be evaluated for `event`, so that a caller with a clock can
    /// say what each costs: `see` is called with `None` when the first begins, and with each rule when it is through.
    ///
    /// `event` must be the one that `scratch` last saw in [`Self::evaluate`]. Its values are not fetched again, so they cost
    /// nothing here; of rules that ask the same question the first pays.
    pub fn weigh<E: Fields + ?Sized>(
        &self,
        event: &E,
        source: LogSource<'_>,
        routing: Routing,
        scratch: &mut Scratch,
        see: &mut dyn FnMut(Option<RuleIndex>),
    ) {
        debug_assert_eq!(scratch.fingerprint, self.fingerprint);
        let index = scratch.groups.take(self.group_key(source, routing), || self.index_of(source, routing));
        scratch.answers.fill(0);
        let mut evaluation = Evaluation { program: &self.program, event, scratch };
        let mut candidates = evaluation.candidates(&index);
        candidates.sort_unstable();
        candidates.dedup();
        see(None);
        for rule in &candidates {
            // What it says is known.
            let _ = evaluation.holds(self.rules[*rule as usize].root);
            see(Some(RuleIndex(*rule)));
        }
        candidates.clear();
        scratch.candidates = candidates;
        scratch.groups.put(index);
    }

    /// Leaves out the rules that `is_meant` names: they are evaluated no more, and match nothing.
    pub fn suspend(&mut self, is_meant: impl Fn(&CompiledRule) -> bool) {
        for (number, rule) in (1..).zip(&mut self.rules) {
            if !rule.is_suspended && is_meant(rule) {
                rule.is_suspended = true;
                // A scratch must not go on with what it knows of the others.
                self.fingerprint = self.fingerprint.wrapping_mul(0x100_0000_01b3) ^ number;
            }
        }
    }

    /// Whether `event` matches the reset selection of a correlation; false for one without.
    ///
    /// `event` must be the one that `scratch` last saw in [`Self::evaluate`]: what was found out then is used.
    #[must_use]
    pub fn resets<E: Fields + ?Sized>(
        &self,
        correlation: &CompiledCorrelation,
        event: &E,
        source: LogSource<'_>,
        routing: Routing,
        scratch: &mut Scratch,
    ) -> bool {
        let base = correlation.rules.first().and_then(|it| self.rule(*it));
        match (correlation.reset, base) {
            (Some(root), Some(base)) if !base.is_suspended && base.source.admits(source, routing) => {
                debug_assert_eq!(scratch.fingerprint, self.fingerprint);
                Evaluation { program: &self.program, event, scratch }.holds(root)
            }
            _ => false,
        }
    }

    /// Returns the fields that a rule looks at and their values in `event`, each value a pair of name and text.
    ///
    /// Null is `null`; a field without values is left out; texts searched for keywords are named `(any)`. At most
    /// 64 values, each cut after 1,024 characters. Empty for a place of another rule set.
    #[must_use]
    pub fn explain<E: Fields + ?Sized>(&self, rule: RuleIndex, event: &E) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        let slots = self.rule(rule).map(|it| self.program.slots_below(it.root)).unwrap_or_default();
        let mut show = |name: &str, text: &str| {
            if found.len() < EXPLAINED_VALUES_MAX {
                found.push((name.to_owned(), text.chars().take(EXPLAINED_CHARS_MAX).collect()));
            }
            EXPLAINED_VALUES_MAX <= found.len()
        };
        for slot in slots {
            if slot == ANYWHERE {
                event.visit_texts(&mut |text| show(ANYWHERE_NAME, text));
            } else {
                let name = &self.program.fields[slot as usize];
                event.visit(FieldId(slot), &mut |value| show(name, &text_of(value)));
            }
        }
        found
    }

    fn evaluate_rule<E: Fields + ?Sized>(
        &self,
        evaluation: &mut Evaluation<'_, E>,
        rule: u32,
        matched: &mut Vec<RuleIndex>,
    ) {
        let last = std::mem::replace(&mut evaluation.scratch.evaluated[rule as usize], evaluation.scratch.epoch);
        if last != evaluation.scratch.epoch && evaluation.holds(self.rules[rule as usize].root) {
            matched.push(RuleIndex(rule));
        }
    }

    fn index_of(&self, source: LogSource<'_>, routing: Routing) -> Index {
        let rules = (0..).zip(&self.rules);
        let rules = rules.filter(|(_, rule)| !rule.is_suspended && rule.source.admits(source, routing));
        Index::new(&self.program, rules.map(|(index, rule)| (index, rule.root)))
    }

    fn group_key(&self, source: LogSource<'_>, routing: Routing) -> GroupKey {
        let number = |names: &[String], name: Option<&str>| {
            let Some(name) = name else { return 0 };
            names.iter().position(|it| it.eq_ignore_ascii_case(name)).map_or(1, |it| place(it + 2))
        };
        let [products, categories, services] = &self.names;
        let dimensions =
            [number(products, source.product), number(categories, source.category), number(services, source.service)];
        GroupKey { routing, is_complete: source.is_complete, dimensions }
    }
}

fn text_of(value: Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(it) => it.to_string(),
        Value::Integer(it) => it.to_string(),
        Value::Number(it) | Value::Text(it) => it.to_owned(),
    }
}

/// What a name or an id stands for.
#[derive(Clone, Copy)]
enum Target {
    Rule(usize),
    Correlation,
}

/// A rule set in the making.
#[derive(Default)]
struct Compiler {
    set: RuleSet,
    builder: Builder,
    /// The selections of each rule, for resets.
    selections: Vec<Vec<(String, Tree)>>,
    targets: HashMap<String, Target>,
    errors: Vec<RuleError>,
}

impl Compiler {
    /// Takes the key, name and id of a document for it; refuses it when one is taken.
    fn claim(&mut self, document: Document) -> Option<Document> {
        let header = document.header();
        let mut names: Vec<String> = [Some(header.key()), header.name.as_deref(), header.id.as_deref()]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        if let Some(taken) = names.iter().find(|it| self.targets.contains_key(*it)) {
            let refusal = Refusal::new(header.position, format!("another document is called `{taken}` already"));
            self.errors.push(refusal.of_file(&header.file));
            return None;
        }
        let target = match document {
            Document::Rule(_) => Target::Rule(self.set.rules.len()),
            Document::Correlation(_) => Target::Correlation,
        };
        self.targets.extend(names.into_iter().map(|it| (it, target)));
        Some(document)
    }

    fn add_rule(&mut self, rule: Rule) {
        let Rule { header, source, detection } = rule;
        let root = self.builder.add(&detection.tree);
        let version = version_of(&canonical_rule(&source, &detection.tree));
        let dimensions = [&source.product, &source.category, &source.service];
        for (names, name) in self.set.names.iter_mut().zip(dimensions) {
            if let Some(name) = name.as_ref().filter(|it| !names.iter().any(|known| known.eq_ignore_ascii_case(it))) {
                names.push(name.clone());
            }
        }
        self.set.rules.push(CompiledRule { header, source, version, raises_alerts: true, root, is_suspended: false });
        self.selections.push(detection.selections.into_iter().map(|it| (it.name, it.tree)).collect());
    }

    /// Silences the rules of correlations, unless one of these generates.
    fn mark_bases(&mut self, correlations: &[Correlation]) {
        let mut generates: HashMap<usize, bool> = HashMap::new();
        for correlation in correlations {
            for reference in &correlation.rules {
                if let Some(Target::Rule(rule)) = self.targets.get(&reference.name) {
                    *generates.entry(*rule).or_default() |= correlation.generates;
                }
            }
        }
        for (rule, generates) in generates {
            self.set.rules[rule].raises_alerts = generates;
        }
    }

    fn add_correlation(&mut self, correlation: Correlation) -> Result<(), Refusal> {
        let mut rules = Vec::with_capacity(correlation.rules.len());
        for reference in &correlation.rules {
            let refuse = |reason: String| Refusal::new(reference.position, reason);
            match self.targets.get(&reference.name) {
                Some(Target::Rule(rule)) => rules.push(*rule),
                Some(Target::Correlation) => {
                    return Err(refuse(format!("`{}` is a correlation: chains are not supported", reference.name)));
                }
                None => return Err(refuse(format!("there is no rule `{}`", reference.name))),
            }
        }
        rules.sort_unstable();
        rules.dedup();
        let reset_tree = self.reset_tree(&correlation, &rules)?.cloned();
        let trigger = self.trigger_of(&correlation, &rules)?;
        let mut canonical = self.canonical_correlation(&correlation, &rules, reset_tree.as_ref());
        if let Some(rule) = trigger {
            _ = write!(canonical, "\ntrigger {}", self.set.rules[rule].version);
        }
        let version = version_of(&canonical);
        let reset = reset_tree.map(|it| self.builder.add(&it));
        let group_by = correlation.group_by.iter().map(|it| self.builder.field(it)).collect();
        let field = match &correlation.count {
            Count::Values(field) => Some(self.builder.field(field)),
            Count::Events => None,
        };
        let trigger = trigger.map(|it| RuleIndex(place(it)));
        let rules = rules.into_iter().map(|it| RuleIndex(place(it))).collect();
        self.set.correlations.push(CompiledCorrelation {
            correlation,
            version,
            rules,
            group_by,
            field,
            trigger,
            reset,
        });
        Ok(())
    }

    /// The place of the rule that triggers; it must be one of several.
    fn trigger_of(&self, correlation: &Correlation, rules: &[usize]) -> Result<Option<usize>, Refusal> {
        let Some(name) = &correlation.header.extension.trigger else { return Ok(None) };
        let refuse = |reason: String| Refusal::new(correlation.trigger_position, reason);
        let Some(Target::Rule(rule)) = self.targets.get(name) else {
            return Err(refuse(format!("there is no rule `{name}`")));
        };
        match rules {
            [_, _, ..] if rules.contains(rule) => Ok(Some(*rule)),
            _ => Err(refuse(format!("`trigger` must be one of at least two `rules`, and `{name}` is not"))),
        }
    }

    fn reset_tree(&self, correlation: &Correlation, rules: &[usize]) -> Result<Option<&Tree>, Refusal> {
        let Some(name) = &correlation.header.extension.reset else { return Ok(None) };
        let refuse = |reason: String| Refusal::new(correlation.reset_position, reason);
        let [rule] = rules else { return Err(refuse("`reset` needs a correlation of one rule".to_owned())) };
        let selection = self.selections[*rule].iter().find(|(it, _)| it == name);
        let found = selection.map(|(_, tree)| Some(tree));
        found.ok_or_else(|| {
            refuse(format!("the rule `{}` has no selection `{name}`", self.set.rules[*rule].header.key()))
        })
    }

    fn canonical_correlation(&self, correlation: &Correlation, rules: &[usize], reset: Option<&Tree>) -> String {
        let mut versions: Vec<&str> = rules.iter().map(|it| self.set.rules[*it].version.as_str()).collect();
        versions.sort_unstable();
        let mut out = format!(
            "correlation\ncount {:?}\nrules {versions:?}\ngroup-by {:?}\ntimespan {} s\nat least {}\nlateness {:?} s\nreset ",
            correlation.count,
            correlation.group_by,
            correlation.timespan.as_secs(),
            correlation.at_least,
            correlation.header.extension.lateness.map(|it| it.as_secs()),
        );
        if let Some(tree) = reset {
            tree.write_canonical(&mut out);
        }
        out
    }

    fn finish(mut self) -> (RuleSet, Vec<RuleError>) {
        self.set.program = self.builder.program;
        let mut all = String::new();
        for rule in &self.set.rules {
            _ = writeln!(all, "{} {}", rule.header.key(), rule.version);
        }
        for correlation in &self.set.correlations {
            _ = writeln!(all, "{} {}", correlation.correlation.header.key(), correlation.version);
        }
        self.set.fingerprint = u64::from_str_radix(&version_of(&all), 16).unwrap_or_default();
        (self.set, self.errors)
    }
}

fn canonical_rule(source: &RuleSource, tree: &Tree) -> String {
    let lower = |it: &Option<String>| it.as_ref().map(|it| it.to_ascii_lowercase());
    let dimensions = [&source.product, &source.category, &source.service].map(lower);
    let mut out = format!("rule\nlogsource {dimensions:?}\ndetection ");
    tree.write_canonical(&mut out);
    out
}
