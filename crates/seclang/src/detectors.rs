//! What `@detectSQLi` and `@detectXSS` ask.

mod sql;
mod xss;

/// Says whether a value is an attack of one kind. Rules ask it with `@detectSQLi` and `@detectXSS`.
///
/// Called with values after the transformations of the rule; never panics, linear in the length of the value.
pub trait Detectors {
    /// Whether `value`, put into an SQL statement, would change what the statement does.
    fn is_sql_injection(&self, value: &[u8]) -> bool;

    /// Whether `value`, put into a page, would run a script.
    fn is_xss(&self, value: &[u8]) -> bool;
}

/// Small detectors of our own, for who has no better at hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Detectors for Plain {
    fn is_sql_injection(&self, value: &[u8]) -> bool {
        sql::is_injection(value)
    }

    fn is_xss(&self, value: &[u8]) -> bool {
        xss::is_injection(value)
    }
}
