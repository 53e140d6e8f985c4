//! The Sigma language: YAML text to documents, documents to one compiled rule set, matched against events.
//!
//! Pure: no I/O, no clock, no thread. It knows no event of ours, only the trait [`event::Fields`].
//! Correlations are parsed, resolved and given a version here; their windows are counted elsewhere.
//! Source: the Sigma specification 2.1.0, rules and correlations.
//!
//! The way of a rule: [`document::parse`] reads a file, [`rule_set::RuleSet::compile`] joins the documents,
//! [`rule_set::RuleSet::evaluate`] says which rules an event matches.

pub mod condition;
pub mod correlation;
pub mod detection;
pub mod document;
pub mod error;
pub mod event;
pub mod header;
pub mod routing;
pub mod rule_set;
pub mod scratch;
pub mod yaml;

mod cidr;
mod digest;
mod duration;
mod encoding;
mod evaluation;
mod fold;
mod item;
mod number;
mod pattern;
mod predicate;
mod program;
mod scalar;
mod time_part;
mod tree;
mod witness;
