//! How a command ends when it does not end well: an exit code and a sentence.

use std::fmt;

/// Bad usage or configuration.
pub(crate) const USAGE: u8 = 64;
/// The data folder or a file cannot be used.
pub(crate) const UNUSABLE: u8 = 74;
/// It failed while running.
pub(crate) const FAILED: u8 = 1;
/// `--fail-on` was met.
pub(crate) const FAIL_ON_MET: u8 = 10;

/// Why a command failed. The message reads alone and says what would do.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// The sentence.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    pub(crate) fn unusable(message: impl Into<String>) -> Self {
        Self { code: UNUSABLE, message: message.into() }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error.to_string())
    }
}
