//! Why a document was refused, and where.

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

/// One refused document: the file, the place in it and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {reason}")]
pub struct RuleError {
    /// The file, as it was named to the parser.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong, lower case, without a full stop.
    pub reason: String,
}

/// A reason at a place, before the file is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) position: Position,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(position: Position, reason: impl Into<String>) -> Self {
        Self { position, reason: reason.into() }
    }

    pub(crate) fn of_file(self, file: &str) -> RuleError {
        RuleError { file: file.to_owned(), line: self.position.line, column: self.position.column, reason: self.reason }
    }
}
