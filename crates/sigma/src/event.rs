//! What the engine wants of an event: the values of a field, and every text for keywords.

/// A field name that some rule asks for; a place in [`crate::rule_set::RuleSet::field_names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u32);

/// One value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// The field is there and holds nothing.
    Null,
    /// `true` or `false`; compares with the texts `true` and `false` too.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A decimal number as JSON writes it, of any size. Its text is what text predicates see, so no digit is lost.
    Number(&'a str),
    /// A text. Predicates on numbers read numeric texts as numbers.
    Text(&'a str),
}

/// An event, as the rules see it.
pub trait Fields {
    /// Shows the values of a field to `see` until it returns true or no value is left.
    ///
    /// Returns whether the field is present, also when `see` ended the walk. A field is present when the event
    /// names it: with null, with an empty text and with an empty list too. A list shows each of its scalars, in
    /// order (any of them may match); an object shows nothing. A missing field shows nothing and returns false.
    fn visit(&self, field: FieldId, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool;

    /// Shows every text value of the event, at any depth, until `see` returns true; names of fields are no values.
    ///
    /// Returns whether `see` returned true. Numbers may be shown as their decimal texts.
    fn visit_texts(&self, see: &mut dyn FnMut(&str) -> bool) -> bool;
}
