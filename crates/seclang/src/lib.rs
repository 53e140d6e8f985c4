//! The rules of the OWASP Core Rule Set: reads SecLang files and says which rules a request matches.
//!
//! Pure: no I/O, no clock, no thread. It refuses no request; it says what the rules say. Rules for responses are read and
//! listed as not evaluated.
//!
//! The way of a set: [`load::load`] reads files and lists what it did not understand; [`rule_set::RuleSet::evaluate`] fills
//! an [`outcome::Outcome`]. `docs/crs.md` says what is understood.

mod action;
mod arena;
mod assemble;
mod bytes;
mod chains;
mod head;
mod needs;
mod operator;
mod pattern;
mod prefilter;
mod rule;
mod searcher;
mod source;
mod target;
mod template;
mod transaction;
mod transform;

pub mod body;
pub mod detectors;
pub mod evaluate;
pub mod load;
pub mod outcome;
pub mod rule_set;
pub mod settings;
pub mod values;
