//! Correlations as they are parsed: what is counted, over which rules, by which key, in which time.
//!
//! Supported are `event_count` and `value_count` with one condition `gt` or `gte`. The counting itself is done
//! elsewhere.

use std::time::Duration;

use crate::error::{Position, Refusal};
use crate::header::{Header, Members, text_of};
use crate::scalar::Scalar;
use crate::yaml::{Kind, Node};

/// A correlation document.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// Names and words.
    pub header: Header,
    /// What is counted.
    pub count: Count,
    /// The rules whose matches are counted, by name or id.
    pub rules: Vec<Reference>,
    /// The fields whose values make the key; none: one key for all.
    pub group_by: Vec<String>,
    /// The length of the window, above zero.
    pub timespan: Duration,
    /// The smallest count at which the condition holds, at least 1.
    pub at_least: u64,
    /// Whether the rules referred to raise alerts of their own too.
    pub generates: bool,
    pub(crate) reset_position: Position,
    pub(crate) trigger_position: Position,
}

/// What a correlation counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// The events.
    Events,
    /// The distinct values of this field; null is no value.
    Values(String),
}

/// A rule that a correlation refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its name or id.
    pub name: String,
    /// Where the reference stands.
    pub position: Position,
}

impl Correlation {
    /// Reads a document that has a key `correlation`.
    pub(crate) fn of(file: &str, position: Position, node: Node, mut document: Members) -> Result<Self, Refusal> {
        let start = node.position;
        let mut members = Members::of(node, "`correlation`")?;
        if let Some((key, _)) = members.take("aliases") {
            return Err(key.refuse("`aliases` are not supported"));
        }
        let kind = take_type(&mut members, start)?;
        let rules = take_rules(&mut members, start)?;
        let group_by = members.take_texts("group-by")?;
        let timespan = take_timespan(&mut members, start)?;
        let (at_least, field) = take_condition(&mut members, start)?;
        let count = count_of(kind, field)?;
        let generates = members.take_bool("generate")?.unwrap_or(false);
        members.finish("`correlation`")?;
        let generates = document.take_bool("generate")?.unwrap_or(false) || generates;
        let reset_position = place_of("reset", &document).unwrap_or(position);
        let trigger_position = place_of("trigger", &document).unwrap_or(position);
        let header = Header::take(file, position, document)?;
        let lateness = header.extension.lateness;
        if header.extension.reset.is_some() && lateness != Some(Duration::ZERO) {
            return Err(Refusal::new(reset_position, "`reset` needs `lateness: 0s`"));
        }
        if header.extension.trigger.is_some() {
            let refuse = |reason: &str| Err(Refusal::new(trigger_position, reason));
            if count != Count::Events {
                return refuse("`trigger` needs the type `event_count`");
            }
            if header.extension.reset.is_some() {
                return refuse("`trigger` and `reset` exclude one another");
            }
        }
        Ok(Self { header, count, rules, group_by, timespan, at_least, generates, reset_position, trigger_position })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    EventCount,
    ValueCount,
}

fn take_type(members: &mut Members, start: Position) -> Result<(Type, Position), Refusal> {
    let (_, node) = members.take("type").ok_or_else(|| Refusal::new(start, "the type is missing"))?;
    let kind = match text_of("type", &node)?.as_str() {
        "event_count" => Type::EventCount,
        "value_count" => Type::ValueCount,
        other => return Err(node.refuse(format!("the correlation type `{other}` is not supported"))),
    };
    Ok((kind, node.position))
}

fn take_rules(members: &mut Members, start: Position) -> Result<Vec<Reference>, Refusal> {
    let (_, node) = members.take("rules").ok_or_else(|| Refusal::new(start, "the rules are missing"))?;
    let elements = match &node.kind {
        Kind::List(elements) if elements.is_empty() => return Err(node.refuse("the list of rules is empty")),
        Kind::List(elements) => elements.as_slice(),
        _ => std::slice::from_ref(&node),
    };
    elements.iter().map(|it| Ok(Reference { name: text_of("rules", it)?, position: it.position })).collect()
}

fn take_timespan(members: &mut Members, start: Position) -> Result<Duration, Refusal> {
    let missing = || Refusal::new(start, "the timespan is missing");
    let (timespan, position) = members.take_duration("timespan")?.ok_or_else(missing)?;
    if timespan.is_zero() { Err(Refusal::new(position, "the timespan must be above zero")) } else { Ok(timespan) }
}

/// Returns the smallest count that fulfils the condition, and the field with its place.
fn take_condition(members: &mut Members, start: Position) -> Result<(u64, Option<(String, Position)>), Refusal> {
    let (_, node) = members.take("condition").ok_or_else(|| Refusal::new(start, "the condition is missing"))?;
    let position = node.position;
    let mut condition = Members::of(node, "the condition of a correlation")?;
    let field = match condition.take("field") {
        Some((_, node)) if matches!(node.kind, Kind::List(_)) => {
            return Err(node.refuse("a list of fields is not supported"));
        }
        Some((_, node)) => Some((text_of("field", &node)?, node.position)),
        None => None,
    };
    let mut operators = condition.0.into_iter();
    let (key, node) = operators.next().ok_or_else(|| Refusal::new(position, "the condition has no operator"))?;
    if let Some((second, _)) = operators.next() {
        return Err(second.refuse("a condition with two operators is not supported"));
    }
    let count = || Scalar::count_of(&node).ok_or_else(|| node.refuse("the condition takes a whole number"));
    let at_least = match key.text.as_str() {
        "gt" => count()?.checked_add(1),
        "gte" => Some(count()?),
        "lt" | "lte" | "eq" | "neq" => {
            // Source: docs/adr/0012-what-sigma-refuses.md.
            return Err(key.refuse(format!(
                "the operator `{}` is not supported in a correlation: a further event can undo it, so that an alert would \
                 depend on what has come so far; write `gt` or `gte`",
                key.text
            )));
        }
        other => return Err(key.refuse(format!("the operator `{other}` is unknown"))),
    };
    let at_least =
        at_least.filter(|it| 1 <= *it).ok_or_else(|| node.refuse("the condition must ask for at least one"))?;
    Ok((at_least, field))
}

fn count_of((kind, type_position): (Type, Position), field: Option<(String, Position)>) -> Result<Count, Refusal> {
    match (kind, field) {
        (Type::EventCount, None) => Ok(Count::Events),
        (Type::EventCount, Some((_, position))) => Err(Refusal::new(position, "`event_count` takes no field")),
        (Type::ValueCount, Some((field, _))) => Ok(Count::Values(field)),
        (Type::ValueCount, None) => Err(Refusal::new(type_position, "`value_count` needs a `field` in its condition")),
    }
}

fn place_of(name: &str, document: &Members) -> Option<Position> {
    let (_, extension) = document.0.iter().find(|(key, _)| key.text == "bartizan")?;
    let Kind::Map(members) = &extension.kind else { return None };
    members.iter().find(|(key, _)| key.text == name).map(|(_, node)| node.position)
}
