//! The JSON forms that HTTP clients send, one file a form, and the routes that tell them apart.
//!
//! A form takes a validated object and either writes one event or returns every refusal that it found; the
//! output is then as it was.

mod anormal;
mod cloud_event;
mod finding;
mod log_event;
mod own;

pub(crate) mod cloudtrail;

pub mod event;
pub mod ingest;
pub mod logs;

use std::borrow::Cow;

use model::event::TextField;

use crate::draft::Draft;
use crate::member::Member;
use crate::object::Object;
use crate::refusal::Refusal;

/// The refusals of one record, gathered so that its sender hears of all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Vec<Refusal>);

impl Complaints {
    /// Returns the value, or keeps the refusal.
    pub(crate) fn take<T>(&mut self, result: Result<T, Refusal>) -> Option<T> {
        result.map_err(|it| self.0.push(it)).ok()
    }

    /// Reads the member `name`, which must be there and not `null`.
    pub(crate) fn required<'a, T>(
        &mut self,
        name: &str,
        member: Option<&Member<'a>>,
        read: impl FnOnce(&Member<'a>) -> Result<T, Refusal>,
    ) -> Option<T> {
        let read = member.filter(|it| !it.is_null()).map_or_else(|| Err(Refusal::missing(name)), read);
        self.take(read)
    }

    /// Reads a member that may be absent.
    pub(crate) fn optional<'a, T>(
        &mut self,
        member: Option<&Member<'a>>,
        read: impl FnOnce(&Member<'a>) -> Result<T, Refusal>,
    ) -> Option<T> {
        member.filter(|it| !it.is_null()).and_then(|it| self.take(read(it)))
    }

    /// Keeps a refusal.
    pub(crate) fn push(&mut self, refusal: Refusal) {
        self.0.push(refusal);
    }

    /// Ends well if nothing was refused.
    pub(crate) fn end(self) -> Result<(), Vec<Refusal>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// The last member of each of `names`, in their order.
pub(crate) fn pick<'a, const N: usize>(object: Object<'a>, names: [&str; N]) -> [Option<Member<'a>>; N] {
    let mut found = [const { None }; N];
    for member in object.members() {
        if let Some(index) = names.iter().position(|it| *it == member.name) {
            found[index] = Some(member);
        }
    }
    found
}

/// Sets a text field from a member that the form does not know but that has one of our own names, if it is a text.
fn set_if_text<'a>(draft: &mut Draft<'a>, field: TextField, member: Option<&Member<'a>>) {
    let text: Option<Cow<'a, str>> = member.and_then(Member::as_scalar);
    draft.set_option(field, text);
}
