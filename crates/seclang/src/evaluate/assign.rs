//! Variables: what they are, and what rules make of them.

use super::{Found, Run};
use crate::action::{Assignment, Change};
use crate::arena::Span;
use crate::head;
use crate::operator;
use crate::rule::Rule;
use crate::target::{Collection, Selector};
use crate::template::{Piece, Template};
use crate::transaction::Value;

/// The longest text that a template becomes, in bytes. Longer ones are cut.
const TEXT_BYTES_MAX: usize = 8 * 1024;

impl Run<'_> {
    /// The number that a value is.
    pub(super) fn number_of(&self, value: &Value) -> i64 {
        match value {
            Value::Unset => 0,
            Value::Number(it) => *it,
            Value::Text(span) => operator::number(self.scratch.values.arena.get(*span)),
        }
    }

    /// The text that a value is; none if it is not set.
    pub(super) fn text_of(&mut self, value: &Value) -> Option<Span> {
        match value {
            Value::Unset => None,
            Value::Number(it) => Some(self.scratch.values.arena.push_number(*it)),
            Value::Text(span) => Some(*span),
        }
    }

    /// Does the assignments of a rule.
    pub(super) fn assign(&mut self, rule: &Rule) {
        for assignment in &rule.assignments {
            let Assignment { place, change } = assignment;
            match place {
                Ok(place) => {
                    let before = self.scratch.transaction.get(*place).clone();
                    let after = self.changed(&before, change, rule);
                    self.scratch.transaction.set(*place, after);
                }
                Err(name) => {
                    let name = self.expand(name, rule);
                    let name = self.scratch.values.arena.get(name).to_ascii_lowercase();
                    let place = self.set.names.find(&name);
                    let transaction = &self.scratch.transaction;
                    let before = place.map_or_else(|| transaction.get_made(&name), |it| transaction.get(it)).clone();
                    let after = self.changed(&before, change, rule);
                    match place {
                        Some(place) => self.scratch.transaction.set(place, after),
                        None => self.scratch.transaction.set_made(&name, after),
                    }
                }
            }
        }
    }

    fn changed(&mut self, before: &Value, change: &Change, rule: &Rule) -> Value {
        match change {
            Change::Unset => Value::Unset,
            Change::Set(template) => self.value_of(template, rule),
            Change::Add(template) => {
                let more = self.expanded_number(template, rule);
                Value::Number(self.number_of(before).saturating_add(more))
            }
            Change::Subtract(template) => {
                let less = self.expanded_number(template, rule);
                Value::Number(self.number_of(before).saturating_sub(less))
            }
        }
    }

    /// What a template becomes, as a number if it is written as one.
    fn value_of(&mut self, template: &Template, rule: &Rule) -> Value {
        if let Some(text) = template.constant() {
            let is_number =
                !text.is_empty() && text.len() < 10 && text.iter().all(u8::is_ascii_digit) && text[0] != b'0';
            if is_number || text == b"0" {
                return Value::Number(operator::number(text));
            }
        }
        if let [Piece::Tx(place)] = template.pieces() {
            return self.scratch.transaction.get(*place).clone();
        }
        Value::Text(self.expand(template, rule))
    }

    /// The number that a template becomes.
    pub(super) fn expanded_number(&mut self, template: &Template, rule: &Rule) -> i64 {
        if let Some(text) = template.constant() {
            return operator::number(text);
        }
        if let [Piece::Tx(place)] = template.pieces() {
            return self.number_of(self.scratch.transaction.get(*place));
        }
        let text = self.expand(template, rule);
        operator::number(self.scratch.values.arena.get(text))
    }

    /// The text that a template becomes.
    pub(super) fn expand(&mut self, template: &Template, rule: &Rule) -> Span {
        if let [Piece::Tx(place)] = template.pieces() {
            let value = self.scratch.transaction.get(*place).clone();
            return self.text_of(&value).unwrap_or_default();
        }
        let mut text = Vec::new();
        for piece in template.pieces() {
            let room = TEXT_BYTES_MAX.saturating_sub(text.len());
            let more = self.piece(piece, rule);
            text.extend_from_slice(&more[..more.len().min(room)]);
        }
        self.scratch.values.arena.push(&text)
    }

    fn piece<'p>(&'p self, piece: &'p Piece, rule: &Rule) -> std::borrow::Cow<'p, [u8]> {
        let arena = &self.scratch.values.arena;
        match piece {
            Piece::Text(text) => text.as_ref().into(),
            Piece::Tx(place) => match self.scratch.transaction.get(*place) {
                Value::Unset => b"".as_slice().into(),
                Value::Number(it) => it.to_string().into_bytes().into(),
                Value::Text(span) => arena.get(*span).into(),
            },
            Piece::RuleId => rule.id.to_string().into_bytes().into(),
            Piece::RuleMessage => rule.saying.message_text.as_bytes().to_vec().into(),
            Piece::Request(collections, selector) => self.first_of(collections, selector),
        }
    }

    fn first_of<'p>(&'p self, collections: &[Collection], selector: &Selector) -> std::borrow::Cow<'p, [u8]> {
        let values = &self.scratch.values;
        let arena = &values.arena;
        for collection in collections {
            if collection.is_stored() {
                let mut all = (0..values.count(*collection)).map(|at| values.value(*collection, at));
                if let Some(value) = all.find(|it| selector.selects(arena.get(values.name(*it)))) {
                    return arena.get(values.raw(value)).into();
                }
                continue;
            }
            if let Some(text) = self.state(*collection) {
                return text.into();
            }
        }
        b"".as_slice().into()
    }

    /// The value of a collection that holds one state and no parts of the request.
    pub(super) fn state(&self, collection: Collection) -> Option<Vec<u8>> {
        let values = &self.scratch.values;
        let last = self.scratch.found.last().or(self.scratch.before.last());
        let flag = |it: bool| Some(if it { b"1".to_vec() } else { b"0".to_vec() });
        let number = |it: usize| Some(it.to_string().into_bytes());
        match collection {
            Collection::ArgsCombinedSize => number(head::arguments_size(values)),
            Collection::FilesCombinedSize => {
                let sizes = (0..values.count(Collection::FilesSizes)).map(|at| {
                    let size = values.raw(values.value(Collection::FilesSizes, at));
                    operator::number(values.arena.get(size))
                });
                Some(sizes.sum::<i64>().to_string().into_bytes())
            }
            Collection::MatchedVar => last.map(|it| values.arena.get(it.text).to_vec()),
            Collection::MatchedVarName => last.map(|it| self.shown_name(it)),
            Collection::MultipartStrictError => flag(self.faults.is_ambiguous),
            Collection::RemoteAddr => self.client.map(|it| it.to_canonical().to_string().into_bytes()),
            Collection::ReqbodyError => flag(self.faults.is_broken),
            Collection::ReqbodyProcessor => Some(self.form.map_or("", |it| it.name()).as_bytes().to_vec()),
            Collection::RequestBodyLength => number(self.body_length),
            _ => None,
        }
    }

    /// The name of what matched, as `MATCHED_VAR_NAME` has it.
    pub(super) fn shown_name(&self, found: &Found) -> Vec<u8> {
        let name = self.scratch.values.arena.get(found.name);
        if name.is_empty() { found.shown.as_bytes().to_vec() } else { [found.shown.as_bytes(), name].join(&b':') }
    }
}
