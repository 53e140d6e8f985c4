//! A list of crawlers that others maintain: patterns of user agents, most of them plain texts.
//!
//! A user agent is read once, whatever the list: plain texts are one automaton, the others one set of expressions that
//! runs in linear time.

use aho_corasick::AhoCorasick;
use regex::{RegexBuilder, RegexSet, RegexSetBuilder};

use crate::client::{Client, client_of};

/// How many patterns a list may have; the rest is left out.
pub const PATTERNS_MAX: usize = 10_000;
/// How long a pattern may be, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;
/// How many patterns may be more than plain texts.
pub const EXPRESSIONS_MAX: usize = 1_000;
/// How large one expression may be when it is compiled, in bytes.
const EXPRESSION_SIZE_MAX: usize = 256 << 10;
/// How large all of them may be, in bytes.
const EXPRESSIONS_SIZE_MAX: usize = 16 << 20;
/// How much of a user agent is looked at, in bytes.
const AGENT_BYTES_MAX: usize = 1024;

/// Knows crawlers by their user agents.
#[derive(Clone, Debug)]
pub struct ClientList {
    texts: AhoCorasick,
    expressions: RegexSet,
}

impl ClientList {
    /// Takes patterns as regular expressions; returns how many were left out: too long, too many, or not understood.
    ///
    /// `None` when nothing is left.
    #[must_use]
    pub fn of<'a>(patterns: impl Iterator<Item = &'a str>) -> (Option<Self>, usize) {
        let (mut texts, mut expressions, mut left_out) = (Vec::new(), Vec::new(), 0);
        for (at, pattern) in patterns.enumerate() {
            if PATTERNS_MAX <= at || pattern.is_empty() || PATTERN_BYTES_MAX < pattern.len() {
                left_out += 1;
            } else if let Some(text) = plain(pattern) {
                texts.push(text);
            } else if expressions.len() < EXPRESSIONS_MAX && is_understood(pattern) {
                expressions.push(pattern);
            } else {
                left_out += 1;
            }
        }
        let counts = (texts.len(), expressions.len());
        let texts = AhoCorasick::new(&texts);
        let expressions = RegexSetBuilder::new(&expressions).size_limit(EXPRESSIONS_SIZE_MAX).build();
        match (texts, expressions) {
            (Ok(texts), Ok(expressions)) if counts != (0, 0) => (Some(Self { texts, expressions }), left_out),
            // All of them together are too large: the plain ones are most of a list.
            (Ok(texts), Err(_)) if 0 < counts.0 => {
                (Some(Self { texts, expressions: RegexSet::empty() }), left_out + counts.1)
            }
            _ => (None, left_out + counts.0 + counts.1),
        }
    }

    /// Whether a user agent is that of a crawler of the list; a tool that looks for holes is none, whatever the list says.
    #[must_use]
    pub fn knows(&self, user_agent: &str) -> bool {
        let agent = &user_agent[..user_agent.floor_char_boundary(AGENT_BYTES_MAX)];
        let is_listed = self.texts.is_match(agent) || self.expressions.is_match(agent);
        is_listed && client_of(agent.to_ascii_lowercase().as_bytes()) != Client::Scanner
    }
}

/// The text that a pattern stands for, if it is one; marks behind a backslash stand for themselves.
fn plain(pattern: &str) -> Option<String> {
    let (mut text, mut characters) = (String::with_capacity(pattern.len()), pattern.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next().filter(char::is_ascii_punctuation)?),
            '.' | '^' | '$' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

/// Whether it compiles within its limit, and does not match whatever comes.
fn is_understood(pattern: &str) -> bool {
    let compiled = RegexBuilder::new(pattern).size_limit(EXPRESSION_SIZE_MAX).build();
    compiled.is_ok_and(|it| !it.is_match(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: &[&str], left_out: usize, known: &[&str], unknown: &[&str]) {
        let (list, count) = ClientList::of(patterns.iter().copied());
        assert_eq!(count, left_out, "{patterns:?}");
        let knows = |it: &str| list.as_ref().is_some_and(|list| list.knows(it));
        known.iter().for_each(|it| assert!(knows(it), "{it}"));
        unknown.iter().for_each(|it| assert!(!knows(it), "{it}"));
    }

    #[test]
    fn plain_texts_and_expressions_are_found() {
        let patterns = ["Googlebot\\/", "[wW]get", "^Mail\\.RU_Bot$", "AdsBot-Google([^-]|$)", "Plain (thing)?"];
        let known = ["x Googlebot/2.1", "wget/1", "Wget/1", "Mail.RU_Bot", "AdsBot-Google", "a Plain thing"];
        check(&patterns, 0, &known, &["googlebot-like", "GET", "Mail.RU_Bot/2", "AdsBot-Google-Mobile", "", "Firefox"]);
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_counted() {
        let long = "x".repeat(PATTERN_BYTES_MAX + 1);
        check(&["(", "a{9999}{9999}", "(?=look)", "", ".*", &long, "fine"], 6, &["fine"], &["other", &long]);
        check(&["("], 1, &[], &["("]);
        check(&[], 0, &[], &[""]);
    }

    #[test]
    fn a_list_is_bounded() {
        let texts: Vec<String> = (0..PATTERNS_MAX + 5).map(|it| format!("agent-{it}-")).collect();
        let (list, left_out) = ClientList::of(texts.iter().map(String::as_str));
        assert_eq!(left_out, 5);
        assert!(list.is_some_and(|it| it.knows("agent-9999-") && !it.knows("agent-10000-")));
        let expressions: Vec<String> = (0..EXPRESSIONS_MAX + 5).map(|it| format!("^agent-{it}-")).collect();
        assert_eq!(ClientList::of(expressions.iter().map(String::as_str)).1, 5);
    }

    #[test]
    fn a_scanner_stays_one() {
        check(&["sqlmap", "bot"], 0, &["a bot"], &["sqlmap/1.7 bot"]);
    }
}
