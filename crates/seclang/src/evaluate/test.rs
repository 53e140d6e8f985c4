//! Tests a rule against everything that it looks at.

use super::{Found, Run};
use crate::arena::Span;
use crate::bytes::ByteSet;
use crate::chains::{Node, ROOT};
use crate::operator::{self, Operator};
use crate::rule::Rule;
use crate::target::{Collection, Selector, Target};
use crate::transaction::Value;

impl Run<'_> {
    /// Whether a rule or a link of a chain matches. What matched is in `found`; its assignments are done for each.
    pub(super) fn link(&mut self, head: u32, rule: &Rule) -> bool {
        if rule.targets.included.is_empty() {
            self.assign(rule);
            self.control(rule);
            return true;
        }
        let mut is_matched = false;
        for (target, places) in rule.targets.included.iter().zip(&rule.places) {
            is_matched |= self.target(head, rule, target, places);
        }
        is_matched
    }

    fn target(&mut self, head: u32, rule: &Rule, target: &Target, places: &[u32]) -> bool {
        if target.is_count {
            return self.count(head, rule, target, places);
        }
        let mut is_matched = false;
        for collection in target.part.collections {
            is_matched |= match collection {
                Collection::Tx => self.variables(rule, target, places),
                Collection::MatchedVars => self.matched(rule, target, false),
                Collection::MatchedVarsNames => self.matched(rule, target, true),
                Collection::MatchedVar => self.matched_last(rule, target),
                it if it.is_stored() => self.stored(head, rule, target, *it),
                it => {
                    let Some(text) = self.state(*it) else { continue };
                    let text = self.scratch.values.arena.push(&text);
                    self.other(rule, target.part.shown, Span::default(), text)
                }
            };
        }
        is_matched
    }

    /// Tests how many values there are.
    fn count(&mut self, head: u32, rule: &Rule, target: &Target, places: &[u32]) -> bool {
        let mut count = 0;
        for collection in target.part.collections {
            count += match collection {
                Collection::Tx => self.count_variables(target, places),
                it if it.is_stored() => self.count_stored(head, rule, target, *it),
                Collection::MatchedVars | Collection::MatchedVarsNames => self.scratch.before.len(),
                it => usize::from(self.state(*it).is_some()),
            };
        }
        let is_header = target.part.collections == [Collection::RequestHeaders];
        if count == 0 && is_header && !self.knows_all_headers {
            // It may have been there, and the log does not have it.
            return false;
        }
        let number = i64::try_from(count).unwrap_or(i64::MAX);
        if let Operator::Number(comparison, bound) = &rule.operator {
            let bound = self.expanded_number(bound, rule);
            if comparison.holds(number, bound) == rule.is_negated {
                return false;
            }
        }
        let text = self.scratch.values.arena.push_number(number);
        let name = self.selected_name(target);
        self.other(rule, target.part.shown, name, text)
    }

    /// The name that a target selects, if it is one.
    fn selected_name(&mut self, target: &Target) -> Span {
        match &target.part.selector {
            Selector::Name(name) => self.scratch.values.arena.push(name),
            _ => Span::default(),
        }
    }

    fn count_variables(&self, target: &Target, places: &[u32]) -> usize {
        let transaction = &self.scratch.transaction;
        let is_set = |it: &Value| *it != Value::Unset;
        let written = places.iter().filter(|it| is_set(transaction.get(**it))).count();
        let is_one = matches!(target.part.selector, Selector::Name(_));
        let made =
            transaction.made().iter().filter(|it| !is_one && target.part.selector.selects(&it.0) && is_set(&it.1));
        written + made.count()
    }

    fn count_stored(&self, head: u32, rule: &Rule, target: &Target, collection: Collection) -> usize {
        let values = &self.scratch.values;
        let all = (0..values.count(collection)).map(|at| values.value(collection, at));
        all.filter(|it| self.is_meant(head, rule, target, *it)).count()
    }

    /// Whether a rule looks at a value.
    fn is_meant(&self, head: u32, rule: &Rule, target: &Target, value: u32) -> bool {
        let name = self.scratch.values.arena.get(self.scratch.values.name(value));
        let shown = target.part.shown;
        target.part.selector.selects(name)
            && !rule.targets.excludes(shown, name)
            && (self.scratch.removed_targets.is_empty() || !self.is_target_removed(head, shown, name))
    }

    /// Tests the values of a collection that holds parts of the request.
    fn stored(&mut self, head: u32, rule: &Rule, target: &Target, collection: Collection) -> bool {
        let mut is_matched = false;
        for at in 0..self.scratch.values.count(collection) {
            let value = self.scratch.values.value(collection, at);
            // Asked first: nearly all values are spared, and names take longer to compare.
            let is_spared = rule.needs.is_some_and(|need| {
                !rule.is_multi_match && self.scratch.values.is_spared(self.set, need, value, rule.node)
            });
            if !is_spared && self.is_meant(head, rule, target, value) {
                is_matched |= self.value(rule, target.part.shown, value);
            }
        }
        is_matched
    }

    /// Tests a value after the transformations of the rule, or after each of them.
    fn value(&mut self, rule: &Rule, shown: &'static str, value: u32) -> bool {
        if !rule.is_multi_match {
            let text = self.scratch.values.transformed(self.set, value, rule.node);
            return self.value_text(rule, shown, value, text);
        }
        let mut nodes: Vec<Node> = self.set.chains.path(rule.node).collect();
        nodes.reverse();
        let mut last = None;
        let mut is_matched = false;
        for node in nodes {
            let text = self.scratch.values.transformed(self.set, value, node);
            if last.replace(text) != Some(text) {
                is_matched |= self.value_text(rule, shown, value, text);
            }
        }
        is_matched
    }

    fn value_text(&mut self, rule: &Rule, shown: &'static str, value: u32, text: u32) -> bool {
        if rule.needs.is_some_and(|it| !self.scratch.values.allows(self.set, it, text)) {
            return false;
        }
        let (span, bytes) = self.scratch.values.text(text);
        let Some(excerpt) = self.test(rule, span, &bytes) else { return false };
        let name = self.scratch.values.name(value);
        self.take(rule, Found { shown, name, text: span, excerpt, is_stored: true });
        true
    }

    /// Tests variables of the transaction.
    fn variables(&mut self, rule: &Rule, target: &Target, places: &[u32]) -> bool {
        let mut is_matched = false;
        for place in places {
            let value = self.scratch.transaction.get(*place).clone();
            if let (Value::Number(number), Operator::Number(comparison, bound)) = (&value, &rule.operator)
                && rule.node == ROOT
            {
                // The way of nearly all rules that only decide which others run.
                let bound = self.expanded_number(bound, rule);
                if comparison.holds(*number, bound) == rule.is_negated {
                    continue;
                }
            }
            let Some(text) = self.text_of(&value) else { continue };
            let name = self.scratch.values.arena.push(self.set.names.name(*place));
            is_matched |= self.other(rule, "TX", name, text);
        }
        if matches!(target.part.selector, Selector::Name(_)) {
            return is_matched;
        }
        for at in 0..self.scratch.transaction.made().len() {
            let (name, value) = self.scratch.transaction.made()[at].clone();
            if !target.part.selector.selects(&name) {
                continue;
            }
            let Some(text) = self.text_of(&value) else { continue };
            let name = self.scratch.values.arena.push(&name);
            is_matched |= self.other(rule, "TX", name, text);
        }
        is_matched
    }

    /// Tests what the link before found, or the names of it.
    fn matched(&mut self, rule: &Rule, target: &Target, are_names: bool) -> bool {
        let mut is_matched = false;
        for at in 0..self.scratch.before.len() {
            let found = self.scratch.before[at];
            let name = self.shown_name(&found);
            if target.part.selector.selects(&name) && !rule.targets.excludes(target.part.shown, &name) {
                is_matched |= if are_names {
                    let text = self.scratch.values.arena.push(&name);
                    self.again(rule, found, text)
                } else {
                    self.again(rule, found, found.text)
                };
            }
        }
        is_matched
    }

    fn matched_last(&mut self, rule: &Rule, target: &Target) -> bool {
        let Some(found) = self.scratch.before.last().copied() else { return false };
        let name = self.scratch.values.arena.get(found.name);
        !rule.targets.excludes(target.part.shown, name) && self.again(rule, found, found.text)
    }

    /// Tests what another rule found.
    fn again(&mut self, rule: &Rule, found: Found, text: Span) -> bool {
        let text = self.scratch.values.transform_other(self.set, text, rule.node);
        let bytes = ByteSet::of(self.scratch.values.arena.get(text));
        let Some(excerpt) = self.test(rule, text, &bytes) else { return false };
        let is_whole = rule.is_negated || excerpt == text;
        self.take(rule, Found { text, excerpt: if is_whole { found.excerpt } else { excerpt }, ..found });
        true
    }

    /// Tests a text that is no part of the request.
    fn other(&mut self, rule: &Rule, shown: &'static str, name: Span, text: Span) -> bool {
        let text = self.scratch.values.transform_other(self.set, text, rule.node);
        let bytes = ByteSet::of(self.scratch.values.arena.get(text));
        let Some(excerpt) = self.test(rule, text, &bytes) else { return false };
        self.take(rule, Found { shown, name, text, excerpt, is_stored: false });
        true
    }

    /// Keeps what matched and does what the rule does then.
    fn take(&mut self, rule: &Rule, found: Found) {
        self.scratch.found.push(found);
        if rule.captures && !rule.needs_groups {
            self.scratch.transaction.set(0, Value::Text(found.excerpt));
        }
        self.assign(rule);
        if !rule.controls.is_empty() {
            self.control(rule);
        }
    }

    /// Tests a text; what of it matched, or all of it.
    fn test(&mut self, rule: &Rule, span: Span, bytes: &ByteSet) -> Option<Span> {
        let found = self.find(rule, span, bytes);
        match (found, rule.is_negated) {
            (Some(found), false) => Some(found),
            (None, true) => Some(span),
            _ => None,
        }
    }

    fn find(&mut self, rule: &Rule, span: Span, bytes: &ByteSet) -> Option<Span> {
        let text = self.scratch.values.arena.get(span);
        let is_found = match &rule.operator {
            Operator::Pattern(pattern) if rule.needs_groups => return self.find_groups(&pattern.regex, span),
            Operator::Pattern(pattern) => {
                return pattern.regex.find(text).map(|it| span.part(it.start(), it.end()));
            }
            Operator::Phrases(phrases) => {
                return phrases.searcher.find(text).map(|it| span.part(it.start(), it.end()));
            }
            Operator::Number(comparison, bound) => {
                let number = operator::number(text);
                let bound = self.expanded_number(bound, rule);
                comparison.holds(number, bound)
            }
            Operator::Text(relation, other) => match other.constant() {
                Some(other) => relation.holds(text, other),
                None => {
                    let other = self.expand(other, rule);
                    let arena = &self.scratch.values.arena;
                    relation.holds(arena.get(span), arena.get(other))
                }
            },
            Operator::Networks(networks) => {
                let address = std::str::from_utf8(text).ok().and_then(|it| it.parse().ok());
                address.is_some_and(|address| networks.iter().any(|it| it.contains(address)))
            }
            Operator::BytesOutside(allowed) => !allowed.covers(bytes),
            Operator::BrokenUrlEncoding => operator::has_broken_url_encoding(text),
            Operator::BrokenUtf8 => bytes.meets(&ByteSet::range(0x80, 0xff)) && std::str::from_utf8(text).is_err(),
            Operator::Always => true,
            Operator::Never => false,
            Operator::SqlInjection => self.detectors.is_sql_injection(text),
            Operator::Xss => self.detectors.is_xss(text),
        };
        is_found.then_some(span)
    }

    /// Searches with a pattern and keeps its groups as variables 0 to 9.
    fn find_groups(&mut self, pattern: &regex::bytes::Regex, span: Span) -> Option<Span> {
        let captures = pattern.captures(self.scratch.values.arena.get(span))?;
        let groups: Vec<Option<Span>> =
            (0..10).map(|it| captures.get(it).map(|it| span.part(it.start(), it.end()))).collect();
        for (place, group) in (0_u32..).zip(&groups) {
            self.scratch.transaction.set(place, group.map_or(Value::Unset, Value::Text));
        }
        groups.first().copied().flatten()
    }
}
