//! How bad a thing is if it is true: one ladder, and the tables that map others onto it.

use std::fmt;

/// How bad an alert is if it is true. Says nothing about how sure we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth keeping, not worth reading by itself.
    Informational,
    /// Looks odd; look when there is time.
    Low,
    /// Look today.
    Medium,
    /// Look now.
    High,
    /// Wake somebody.
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word of the wire, lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Reads the word of the wire; any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(word))
    }

    /// The place on the ladder, `0..=4`; 4 is worst.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self as u8
    }

    /// The inverse of [`Self::rank`].
    #[must_use]
    pub fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL.get(usize::from(rank)).copied()
    }

    /// One step milder; the mildest stays.
    #[must_use]
    pub fn lowered(self) -> Self {
        Self::ALL[usize::from(self.rank().saturating_sub(1))]
    }

    /// Maps the severity of an `AnormalEvent`: 0 Info, 1 Warning, 2 Error, 3 Attack.
    ///
    /// A number outside the table is taken as the worst it could mean, never milder.
    #[must_use]
    pub const fn from_anormal(number: i64) -> Self {
        match number {
            0 => Self::Informational,
            1 => Self::Low,
            2 => Self::Medium,
            _ => Self::High,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_its_own_words_and_ranks() {
        for severity in Severity::ALL {
            assert_eq!(Severity::from_word(severity.as_str()), Some(severity));
            assert_eq!(Severity::from_rank(severity.rank()), Some(severity));
        }
        assert_eq!(Severity::from_word("HIGH"), Some(Severity::High));
        assert_eq!(Severity::from_word("terrible"), None);
    }

    #[test]
    fn lowering_stops_at_the_bottom() {
        assert_eq!(Severity::Critical.lowered(), Severity::High);
        assert_eq!(Severity::Informational.lowered(), Severity::Informational);
    }

    #[test]
    fn an_unknown_number_is_never_downgraded() {
        assert_eq!(Severity::from_anormal(99), Severity::High);
    }
}
