//! Bytes to encoded events: what HTTP clients send, what files hold, and events back to JSON.
//!
//! Pure: no I/O, no clock, no thread. `now` is an argument, gzip is undone by the caller. No input from
//! outside is a panic: what cannot be read is a [`refusal::Refusal`] that says which field and why.
//!
//! One file a form below [`forms`] and one a file format below [`formats`], whose list is
//! [`formats::FORMATS`]. JSON is validated strictly and then read in place; it is kept whole as the original
//! of the event, so that every value comes back as it was sent.
//!
//! Decided here, for all forms alike: of a repeated key the last wins; `null` counts as absent; a lone
//! surrogate escape (`"\ud83d"`) is kept as it was written and read as U+FFFD; a byte order mark before the
//! first brace is skipped.

mod draft;
mod json_fault;
mod member;
mod object;
mod quote;
mod times;

pub mod batch;
pub mod formats;
pub mod forms;
pub mod framing;
pub mod output;
pub mod reading;
pub mod refusal;
