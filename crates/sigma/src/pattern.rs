//! Texts with wildcards: `*` any run, `?` exactly one character, `\` takes the meaning from either.

use std::fmt::Write;

use memchr::memmem::Finder;

use crate::fold::fold_char;

/// One piece of a text with wildcards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    Char(char),
    /// `?`.
    One,
    /// `*`.
    Many,
}

/// Resolves the escapes of a value: `\*`, `\?` and `\\`; a backslash before anything else is itself.
pub(crate) fn tokens_of(text: &str) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Many,
            '?' => Token::One,
            '\\' => Token::Char(chars.next_if(|it| matches!(it, '*' | '?' | '\\')).unwrap_or('\\')),
            c => Token::Char(c),
        });
    }
    tokens
}

/// Returns the text of tokens without wildcards, `None` when there are some.
pub(crate) fn literal_of(tokens: &[Token]) -> Option<String> {
    let chars = tokens.iter().map(|it| if let Token::Char(c) = it { Some(*c) } else { None });
    chars.collect()
}

/// A compiled text with wildcards. Without case it must be shown folded texts.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(Box<Finder<'static>>),
    Wildcard(Wildcard),
}

/// The general form: segments between stars, each of a fixed number of characters.
#[derive(Clone, Debug)]
pub(crate) struct Wildcard {
    segments: Vec<Segment>,
    is_start_open: bool,
    is_end_open: bool,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(Box<Finder<'static>>),
    /// `None` stands for any one character.
    Mixed(Vec<Option<char>>),
}

impl Pattern {
    /// Compiles tokens; folds them unless `is_cased`.
    pub(crate) fn new(tokens: &[Token], is_cased: bool) -> Self {
        let tokens: Vec<Token> = tokens.iter().map(|it| if is_cased { *it } else { fold_token(*it) }).collect();
        let is_start_open = tokens.first() == Some(&Token::Many);
        let is_end_open = tokens.last() == Some(&Token::Many);
        let mut parts = tokens.split(|it| *it == Token::Many).filter(|it| !it.is_empty());
        let (first, is_single) = (parts.next().unwrap_or_default(), parts.next().is_none());
        match literal_of(first).filter(|_| is_single) {
            Some(literal) => Self::of_literal(literal, is_start_open, is_end_open),
            None => Self::Wildcard(Wildcard {
                segments: tokens.split(|it| *it == Token::Many).filter(|it| !it.is_empty()).map(Segment::new).collect(),
                is_start_open,
                is_end_open,
            }),
        }
    }

    fn of_literal(literal: String, is_start_open: bool, is_end_open: bool) -> Self {
        match (is_start_open, is_end_open) {
            (false, false) => Self::Equals(literal),
            (false, true) => Self::StartsWith(literal),
            (true, false) => Self::EndsWith(literal),
            (true, true) => Self::Contains(Box::new(finder(&literal))),
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Equals(literal) => text == literal,
            Self::StartsWith(literal) => text.starts_with(literal.as_str()),
            Self::EndsWith(literal) => text.ends_with(literal.as_str()),
            Self::Contains(finder) => finder.find(text.as_bytes()).is_some(),
            Self::Wildcard(wildcard) => wildcard.matches(text),
        }
    }
}

/// The tokens as text, one spelling for equal ones.
pub(crate) fn canonical(tokens: &[Token], is_cased: bool) -> String {
    let mut out = String::with_capacity(tokens.len() + 1);
    for token in tokens {
        match if is_cased { *token } else { fold_token(*token) } {
            Token::Char(c @ ('*' | '?' | '\\')) => _ = write!(out, "\\{c}"),
            Token::Char(c) => out.push(c),
            Token::One => out.push('?'),
            Token::Many if out.ends_with('*') && !out.ends_with("\\*") => {}
            Token::Many => out.push('*'),
        }
    }
    out
}

fn fold_token(token: Token) -> Token {
    if let Token::Char(c) = token { Token::Char(fold_char(c)) } else { token }
}

fn finder(literal: &str) -> Finder<'static> {
    Finder::new(literal.as_bytes()).into_owned()
}

impl Wildcard {
    /// Takes the leftmost place for each segment; the last is held against the end if the end is not open.
    fn matches(&self, text: &str) -> bool {
        let mut at = 0;
        let last = self.segments.len() - 1;
        for (index, segment) in self.segments.iter().enumerate() {
            let is_held_at_start = index == 0 && !self.is_start_open;
            let is_held_at_end = index == last && !self.is_end_open;
            let end = match (is_held_at_start, is_held_at_end) {
                (true, false) => segment.match_at(text, 0),
                (true, true) => segment.match_at(text, 0).filter(|it| *it == text.len()),
                (false, true) => segment.match_end(text, at),
                (false, false) => segment.find(text, at),
            };
            let Some(end) = end else { return false };
            at = end;
        }
        true
    }
}

impl Segment {
    fn new(tokens: &[Token]) -> Self {
        match literal_of(tokens) {
            Some(literal) => Self::Literal(Box::new(finder(&literal))),
            None => {
                Self::Mixed(tokens.iter().map(|it| if let Token::Char(c) = it { Some(*c) } else { None }).collect())
            }
        }
    }

    /// Returns the end of this segment when it begins at `at`.
    fn match_at(&self, text: &str, at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        match self {
            Self::Literal(finder) => rest.as_bytes().starts_with(finder.needle()).then(|| at + finder.needle().len()),
            Self::Mixed(units) => {
                let mut chars = rest.chars();
                let fits = units.iter().all(|unit| chars.next().is_some_and(|c| unit.is_none_or(|it| it == c)));
                fits.then(|| text.len() - chars.as_str().len())
            }
        }
    }

    /// Returns the end of the first place of this segment at or behind `at`.
    fn find(&self, text: &str, at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        match self {
            Self::Literal(finder) => finder.find(rest.as_bytes()).map(|it| at + it + finder.needle().len()),
            Self::Mixed(_) => rest.char_indices().find_map(|(offset, _)| self.match_at(text, at + offset)),
        }
    }

    /// Returns the end of the text when this segment ends it and begins at or behind `at`.
    fn match_end(&self, text: &str, at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        match self {
            Self::Literal(finder) => rest.as_bytes().ends_with(finder.needle()).then_some(text.len()),
            Self::Mixed(units) => {
                let start = rest.char_indices().rev().nth(units.len() - 1)?.0;
                self.match_at(text, at + start)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fold::folded;

    /// The slow and obvious form.
    fn naive(tokens: &[Token], text: &[char]) -> bool {
        match (tokens, text) {
            ([], text) => text.is_empty(),
            ([Token::Many, rest @ ..], text) => (0..=text.len()).any(|it| naive(rest, &text[it..])),
            ([Token::One, rest @ ..], [_, text @ ..]) => naive(rest, text),
            ([Token::Char(c), rest @ ..], [first, text @ ..]) => c == first && naive(rest, text),
            _ => false,
        }
    }

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let compiled = Pattern::new(&tokens_of(pattern), false);
        assert!(matching.iter().all(|it| compiled.matches(&folded(it))), "{pattern} matches {matching:?}");
        assert!(!others.iter().any(|it| compiled.matches(&folded(it))), "{pattern} matches none of {others:?}");
    }

    #[test]
    fn stars_take_any_run_and_question_marks_one_character() {
        check("ab*", &["ab", "ABc"], &["a", "xab"]);
        check("*ab", &["ab", "xAB"], &["abx"]);
        check("*ab*", &["ab", "xABy"], &["axb"]);
        check("a*b", &["ab", "a\nx\nb"], &["abc", "ba"]);
        check("a?b", &["axb", "aäb", "a\nb"], &["ab", "axxb"]);
        check("aba*aba", &["abaaba", "abaxaba"], &["aba", "ababa"]);
        check("*a?c*d", &["xabcabcd"], &["acd"]);
        check("*?", &["a", "ab"], &[""]);
        check("*", &["", "x"], &[]);
        check("**", &["", "x"], &[]);
        check("", &[""], &["x"]);
        check("?", &["ä"], &["", "ab"]);
    }

    #[test]
    fn backslashes_escape_wildcards_and_each_other() {
        check(r"a\*b", &["a*b"], &["axb", r"a\*b"]);
        check(r"a\?b", &["a?b"], &["axb"]);
        check(r"C:\\Win", &[r"c:\win"], &[r"c:\\win"]);
        check(r"C:\\*", &[r"c:\temp"], &["c:temp"]);
        check(r"a\\\*b", &[r"a\*b"], &[r"a\xb"]);
        check(r"\\\\srv", &[r"\\srv"], &[r"\srv"]);
        check(r"\\\srv", &[r"\\srv"], &[r"\srv"]);
        check(r"dir\", &[r"dir\"], &["dir"]);
    }

    proptest! {
        #[test]
        fn the_compiled_form_equals_the_naive_one(pattern in "[abä*?]{0,8}", text in "[abä]{0,10}") {
            let tokens = tokens_of(&pattern);
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(Pattern::new(&tokens, true).matches(&text), naive(&tokens, &chars));
        }

        #[test]
        fn the_canonical_text_means_the_same(pattern in r"[aB*?\\]{0,8}") {
            let again = tokens_of(&canonical(&tokens_of(&pattern), true));
            prop_assert_eq!(canonical(&again, true), canonical(&tokens_of(&pattern), true));
        }
    }
}
