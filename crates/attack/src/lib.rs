//! HTTP attack inspection: which parts of a request look like an attack, and why.
//!
//! Pure: no I/O, no clock, no thread. It judges what a request says, not how often or from where.
//!
//! The way of a request: [`request::Request`] is what is known of it, whole or as an access log has it;
//! [`inspector::Inspector::inspect`] says what stands out, as [`report::Finding`]s with a place, an excerpt and a score.

pub mod checks;
pub mod clients;
pub mod exception;
pub mod explain;
pub mod inspector;
pub mod report;
pub mod request;

mod body;
mod charset;
mod client;
mod coding;
mod commands;
mod decode;
mod expression;
mod foreign;
mod hit;
mod json;
mod literal;
mod markup;
mod multipart;
mod path;
mod pollution;
mod protocol;
mod script;
mod shell;
mod sql;
mod value;
mod words;
mod work;
mod xml;

#[cfg(test)]
mod code_tests;
#[cfg(test)]
mod expression_tests;
#[cfg(test)]
mod false_alarm_tests;
#[cfg(test)]
mod families_tests;
#[cfg(test)]
mod gate_tests;
#[cfg(test)]
mod hiding_tests;
#[cfg(test)]
mod linear_tests;
#[cfg(test)]
mod markup_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod places_tests;
#[cfg(test)]
mod readings_tests;
#[cfg(test)]
mod shell_tests;
#[cfg(test)]
mod sql_tests;
