//! Writes one JSON object member by member, so that texts that are JSON already are not parsed again.

use std::fmt::{Display, Write};

use model::json::push_text;

/// Where a page ends though there is more, in bytes: events may be a quarter of a mebibyte each.
pub(crate) const PAGE_BYTES_MAX: usize = 8 << 20;

/// One object in the making.
#[derive(Debug)]
pub(crate) struct ObjectWriter(String);

impl ObjectWriter {
    /// Begins an object.
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    fn name(&mut self, name: &str) {
        if self.0.len() != 1 {
            self.0.push(',');
        }
        push_text(&mut self.0, name);
        self.0.push(':');
    }

    /// Writes a value that is JSON as it displays.
    pub(crate) fn raw(&mut self, name: &str, value: impl Display) {
        self.name(name);
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{value}");
    }

    /// Writes a text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        push_text(&mut self.0, value);
    }

    /// Writes a text or `null`.
    pub(crate) fn option(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    /// Writes what displays without a character that JSON escapes, in quotes: a time, an id, an address.
    pub(crate) fn plain(&mut self, name: &str, value: impl Display) {
        self.raw(name, format_args!("\"{value}\""));
    }

    /// Writes a list of such.
    pub(crate) fn plain_list<T: Display>(&mut self, name: &str, values: &[T]) {
        self.name(name);
        self.0.push('[');
        for (index, value) in values.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{comma}\"{value}\"");
        }
        self.0.push(']');
    }

    /// Ends the object.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Joins texts that are JSON to an array.
pub(crate) fn array(items: &[String]) -> String {
    let mut out = String::with_capacity(2 + items.iter().map(|it| it.len() + 1).sum::<usize>());
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index != 0 {
            out.push(',');
        }
        out.push_str(item);
    }
    out.push(']');
    out
}

/// The answer of a list: `{"items":[...],"next":CURSOR|null}`. A cursor has no character that JSON escapes.
pub(crate) fn page(items: &[String], next: Option<&str>) -> String {
    let next = next.map_or_else(|| "null".to_owned(), |it| format!("\"{it}\""));
    format!("{{\"items\":{},\"next\":{next}}}", array(items))
}
