//! What the rules say of a request.

use std::fmt;

/// What the rules say of a request. Kept between requests, so that its memory is used again.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The rules that matched and log, one for each value that matched, in the order of the rules.
    /// At most [`Self::MATCHES_MAX`]; the score counts those beyond, too.
    pub matches: Vec<Match>,
    /// The score that the rules of the chosen paranoia level add up to, in points of the rule set.
    pub anomaly_score: u32,
    /// Whether a rule asked to refuse the request: in the Core Rule Set, that the score reached the threshold.
    pub is_blocked: bool,
    /// Whether a limit left a part of the request unread: too long a body, too many arguments.
    pub is_truncated: bool,
}

impl Outcome {
    /// The most matches that are kept of a request. One with many hostile arguments matches each rule for each of them.
    pub const MATCHES_MAX: usize = 256;

    /// Forgets the former request.
    pub(crate) fn clear(&mut self) {
        self.matches.clear();
        self.anomaly_score = 0;
        self.is_blocked = false;
        self.is_truncated = false;
    }
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The number of the rule, such as 942100.
    pub id: u32,
    /// Its tags in their order, such as `attack-sqli` and `paranoia-level/1`.
    pub tags: Box<[Box<str>]>,
    /// How bad its author thinks it is, if said.
    pub severity: Option<Severity>,
    /// What it says, with the values of this request in it.
    pub message: String,
    /// Where it matched, in the words of an exclusion: `ARGS:q`.
    pub target: String,
    /// What matched there, after decoding; at most [`Self::EXCERPT_BYTES_MAX`] bytes, and readable.
    pub excerpt: String,
}

impl Match {
    /// The most bytes of an excerpt, before what cannot be printed is written as escapes.
    pub const EXCERPT_BYTES_MAX: usize = 128;
    /// The most bytes of a message or of the name of a target.
    pub const TEXT_BYTES_MAX: usize = 256;
}

/// How bad a match is, as rules say it.
///
/// Source: the severities of syslog, RFC 5424, section 6.2.1, which SecLang took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// 7.
    Debug,
    /// 6.
    Info,
    /// 5.
    Notice,
    /// 4.
    Warning,
    /// 3.
    Error,
    /// 2: what attack rules of the Core Rule Set have.
    Critical,
    /// 1.
    Alert,
    /// 0.
    Emergency,
}

impl Severity {
    const NAMES: [(&'static str, Self); 8] = [
        ("EMERGENCY", Self::Emergency),
        ("ALERT", Self::Alert),
        ("CRITICAL", Self::Critical),
        ("ERROR", Self::Error),
        ("WARNING", Self::Warning),
        ("NOTICE", Self::Notice),
        ("INFO", Self::Info),
        ("DEBUG", Self::Debug),
    ];

    /// Reads a severity as rules write it: a name in any case, or its number.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let by_number = text.parse::<usize>().ok().and_then(|it| Self::NAMES.get(it));
        by_number.or_else(|| Self::NAMES.iter().find(|it| it.0.eq_ignore_ascii_case(text))).map(|it| it.1)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|it| it.1 == *self).map_or("", |it| it.0);
        f.write_str(name)
    }
}

/// Makes `bytes` readable: what cannot be printed becomes `\xHH`, the rest stays.
pub(crate) fn readable(bytes: &[u8], bytes_max: usize) -> String {
    let mut text = String::new();
    for chunk in bytes[..bytes.len().min(bytes_max)].utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Severity, readable};

    #[test]
    fn reads_severities_by_name_and_by_number() {
        for (name, severity) in Severity::NAMES {
            assert_eq!(Severity::from_text(&name.to_lowercase()), Some(severity));
            assert_eq!(severity.to_string(), name);
        }
        assert_eq!(Severity::from_text("2"), Some(Severity::Critical));
        assert_eq!(Severity::from_text("8"), None);
        assert!(Severity::Notice < Severity::Critical);
    }

    #[test]
    fn an_excerpt_can_be_printed_and_ends() {
        assert_eq!(readable(b"a\0\n\xffb", 100), "a\\u{0}\\n\\xffb");
        assert_eq!(readable("äb".as_bytes(), 1), "\\xc3");
    }
}
