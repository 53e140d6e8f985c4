//! What a text must have so that a pattern can match: literals and bytes.
//!
//! This is the only thing that keeps patterns from being run, so it errs to one side: what it says a match needs, every
//! match has. The test beside the corpora holds it to that, for every pattern and every text.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use crate::bytes::ByteSet;

/// The most texts that a part of a pattern may stand for so that they are written out.
const EXACT_MAX: usize = 128;
/// The most literals of one pattern. Lists of function names have hundreds.
const LITERALS_MAX: usize = 3_000;
/// The longest literal, in bytes. Longer ones are cut: their beginning is needed, too.
const LITERAL_BYTES_MAX: usize = 16;
/// The most sets of bytes that are kept of a pattern; the rarest tell the most.
const SETS_MAX: usize = 4;
/// Literals with less weight occur everywhere and save nothing.
const WEIGHT_MIN: u32 = 4;
/// Sets that weigh more are met by nearly every text.
const COMMONNESS_MAX: u32 = 120;

/// What every text that a pattern matches has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// One of these, in any case of ASCII letters; they are in lower case. Empty: none is known.
    pub(crate) literals: Vec<Vec<u8>>,
    /// A byte of each of these.
    pub(crate) bytes: Vec<ByteSet>,
}

impl Needs {
    /// The needs of a pattern.
    pub(crate) fn of(pattern: &Hir) -> Self {
        let literals = literals(pattern).best().unwrap_or_default();
        let mut bytes: Vec<ByteSet> =
            byte_needs(pattern).into_iter().filter(|it| commonness(it) <= COMMONNESS_MAX).collect();
        bytes.sort_by_key(commonness);
        bytes.dedup();
        bytes.truncate(SETS_MAX);
        Self { literals: literals.into_iter().collect(), bytes }
    }

    /// Whether a text with these bytes may match, its literals apart.
    pub(crate) fn allow(&self, bytes: &ByteSet) -> bool {
        self.bytes.iter().all(|it| it.meets(bytes))
    }
}

/// What is known of the texts that a part of a pattern matches.
struct Known {
    /// All texts that it matches, if they are few.
    exact: Option<BTreeSet<Vec<u8>>>,
    /// Literals one of which each text holds.
    required: Option<BTreeSet<Vec<u8>>>,
}

impl Known {
    const NOTHING: Self = Self { exact: None, required: None };

    fn exactly(texts: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { exact: Some(texts.into_iter().collect()), required: None }
    }

    /// The best set of literals that a text needs.
    fn best(self) -> Option<BTreeSet<Vec<u8>>> {
        better(self.exact.and_then(usable), self.required)
    }
}

/// The set cut to size, if it is worth looking for.
fn usable(set: BTreeSet<Vec<u8>>) -> Option<BTreeSet<Vec<u8>>> {
    let cut = |mut it: Vec<u8>| {
        it.truncate(LITERAL_BYTES_MAX);
        it
    };
    let set: BTreeSet<Vec<u8>> = set.into_iter().map(cut).collect();
    let is_usable = !set.is_empty() && set.len() <= LITERALS_MAX && WEIGHT_MIN <= weight_of_set(&set);
    is_usable.then_some(set)
}

/// The one that occurs more seldom.
fn better(one: Option<BTreeSet<Vec<u8>>>, other: Option<BTreeSet<Vec<u8>>>) -> Option<BTreeSet<Vec<u8>>> {
    let value = |it: &BTreeSet<Vec<u8>>| (weight_of_set(it).min(12), std::cmp::Reverse(it.len()));
    match (one, other) {
        (Some(one), Some(other)) => Some(if value(&one) < value(&other) { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// How telling the least telling of them is.
fn weight_of_set(set: &BTreeSet<Vec<u8>>) -> u32 {
    set.iter().map(|it| weight(it)).min().unwrap_or(0)
}

/// How telling a literal is: two points for a letter, three for a sign, one for what is everywhere.
fn weight(literal: &[u8]) -> u32 {
    let weight = |byte: &u8| match byte {
        b' ' | b'/' | b'.' | b'=' | b'-' | b'e' => 1,
        it if it.is_ascii_alphanumeric() => 2,
        _ => 3,
    };
    literal.iter().map(weight).sum()
}

fn literals(pattern: &Hir) -> Known {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => Known::exactly([Vec::new()]),
        HirKind::Literal(literal) => Known::exactly([literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => literals_of_class(class),
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Repetition(repetition) => literals_of_repetition(repetition),
        HirKind::Concat(parts) => literals_of_sequence(parts),
        HirKind::Alternation(parts) => literals_of_choice(parts),
    }
}

fn literals_of_class(class: &Class) -> Known {
    let set: BTreeSet<Vec<u8>> = bytes_of_class(class).iter().map(|it| vec![it.to_ascii_lowercase()]).collect();
    if set.len() <= 8 { Known::exactly(set) } else { Known::NOTHING }
}

fn literals_of_repetition(repetition: &Repetition) -> Known {
    let part = literals(&repetition.sub);
    match (repetition.min, repetition.max) {
        (0, Some(1)) => {
            let exact = part.exact.map(|mut it| {
                it.insert(Vec::new());
                it
            });
            Known { exact, required: None }
        }
        (0, _) => Known::NOTHING,
        (1, Some(1)) => part,
        (count, max) => {
            let parts = vec![(*repetition.sub).clone(); count.min(4) as usize];
            let known = literals_of_sequence(&parts);
            if max == Some(count) && count <= 4 { known } else { Known { exact: None, required: known.best() } }
        }
    }
}

/// Texts one after the other: those of neighbours that are known in full are joined.
fn literals_of_sequence(parts: &[Hir]) -> Known {
    let mut run = BTreeSet::from([Vec::new()]);
    let mut required = None;
    let mut is_exact = true;
    for part in parts {
        let known = literals(part);
        if let Some(joined) = known.exact.as_ref().and_then(|it| join(&run, it)) {
            run = joined;
            continue;
        }
        is_exact = false;
        required = better(required, usable(run));
        run = match known {
            Known { exact: Some(exact), .. } => exact,
            Known { required: it, .. } => {
                required = better(required, it);
                BTreeSet::from([Vec::new()])
            }
        };
    }
    if is_exact {
        return Known { exact: Some(run), required: None };
    }
    Known { exact: None, required: better(required, usable(run)) }
}

/// Each text of `before` with each of `after`, if they are few and short.
fn join(before: &BTreeSet<Vec<u8>>, after: &BTreeSet<Vec<u8>>) -> Option<BTreeSet<Vec<u8>>> {
    let longest = |set: &BTreeSet<Vec<u8>>| set.iter().map(Vec::len).max().unwrap_or(0);
    let is_one = before.len() == 1 && before.iter().all(Vec::is_empty);
    let is_small = before.len() * after.len() <= EXACT_MAX && longest(before) + longest(after) <= 4 * LITERAL_BYTES_MAX;
    (is_one || is_small).then(|| before.iter().flat_map(|b| after.iter().map(|a| [b.as_slice(), a].concat())).collect())
}

fn literals_of_choice(parts: &[Hir]) -> Known {
    let known: Vec<Known> = parts.iter().map(literals).collect();
    let is_exact = known.iter().all(|it| it.exact.is_some());
    if is_exact {
        let exact: BTreeSet<Vec<u8>> = known.into_iter().filter_map(|it| it.exact).flatten().collect();
        return if exact.len() <= LITERALS_MAX { Known::exactly(exact) } else { Known::NOTHING };
    }
    let mut required = BTreeSet::new();
    for part in known {
        match part.best() {
            Some(it) => required.extend(it),
            None => return Known::NOTHING,
        }
    }
    Known { exact: None, required: usable(required) }
}

/// Sets of bytes, of each of which every match has one.
fn byte_needs(pattern: &Hir) -> Vec<ByteSet> {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => Vec::new(),
        HirKind::Literal(literal) => literal.0.iter().map(|it| ByteSet::of(&[*it])).collect(),
        HirKind::Class(class) => vec![bytes_of_class(class)],
        HirKind::Capture(capture) => byte_needs(&capture.sub),
        HirKind::Repetition(Repetition { min: 0, .. }) => Vec::new(),
        HirKind::Repetition(repetition) => byte_needs(&repetition.sub),
        HirKind::Concat(parts) => {
            let mut all: Vec<ByteSet> = parts.iter().flat_map(byte_needs).collect();
            all.sort_by_key(commonness);
            all.dedup();
            all.truncate(2 * SETS_MAX);
            all
        }
        HirKind::Alternation(parts) => byte_needs_of_choice(parts),
    }
}

/// The union of the rarest set of each branch, if each has one.
fn byte_needs_of_choice(parts: &[Hir]) -> Vec<ByteSet> {
    let mut union = ByteSet::EMPTY;
    for part in parts {
        let Some(rarest) = byte_needs(part).into_iter().min_by_key(commonness) else { return Vec::new() };
        union = union.union(&rarest);
    }
    vec![union]
}

/// How likely a text has a byte of `set`, in points without a unit.
fn commonness(set: &ByteSet) -> u32 {
    let points = |byte: u8| match byte {
        b'a'..=b'z' => 50,
        b'0'..=b'9' | b'/' | b'.' => 40,
        b'-' | b'_' | b' ' | b'=' | b'A'..=b'Z' => 30,
        b'%' | b':' | b';' | b',' | b'+' | b'(' | b')' => 8,
        b'!'..=b'~' => 2,
        _ => 0,
    };
    set.iter().map(points).sum()
}

fn bytes_of_class(class: &Class) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    match class {
        Class::Bytes(class) => {
            for range in class.ranges() {
                set = set.union(&ByteSet::range(range.start(), range.end()));
            }
        }
        // Never made without Unicode; every byte says nothing and so is true.
        Class::Unicode(_) => set = ByteSet::FULL,
    }
    set
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::bytes::ByteSet;
    use crate::pattern::Pattern;

    #[track_caller]
    fn check(pattern: &str, literals: &[&str]) {
        let needs = Pattern::compile(pattern).unwrap().needs;
        let actual: Vec<String> = needs.literals.iter().map(|it| it.escape_ascii().to_string()).collect();
        assert_eq!(actual, literals);
    }

    #[test]
    fn finds_the_literals_that_every_match_has() {
        check("(?i)union[^a-z]+select", &["union"]);
        check(r"\bfoo(?:bar|baz)?[;,]", &["foo,", "foo;", "foobar,", "foobar;", "foobaz,", "foobaz;"]);
        check(r"[\s\x0b]*(?:get|p(?:os|u)t)[\s\x0b]+http/[0-9]", &["http/"]);
        check(r"(?:alpha|beta.*|g[amn]ma)", &["alpha", "beta", "gama", "gmma", "gnma"]);
        check(r"(?:ab){3}", &["ababab"]);
        check(r"(?:abc)+x", &["abc"]);
    }

    #[test]
    fn says_nothing_where_nothing_is_sure() {
        check(r"(?:alpha|[a-z]+)", &[]);
        check(r"a*", &[]);
        check(r"\W{4}", &[]);
    }

    #[test]
    fn knows_the_bytes_that_every_match_has() {
        let needs = Pattern::compile(r"[0-9a-z]+[;|].*<").unwrap().needs;
        assert!(needs.allow(&ByteSet::of(b"a;<")) && needs.allow(&ByteSet::of(b"a|<")));
        assert!(!needs.allow(&ByteSet::of(b"a;")) && !needs.allow(&ByteSet::of(b"a<")));
    }

    /// Patterns of the shapes that rules have; the texts below are made of the same alphabet.
    const PATTERNS: &[&str] = &[
        "(?i)ab[;c]+d?",
        "^(?:a|b;)*c$",
        "(?:ab|cd){2}",
        "a(?:b(?:c|d)|;d)|c[^a]d",
        r"\bab\b|;;",
        "(?:abcd)?;a",
        "[a-c]{3}|d;",
        "(?:a|ab|abc|;)+d",
    ];

    proptest! {
        #[test]
        fn no_text_without_them_matches(text in "[abcdABCD;]{0,12}") {
            let lower = text.to_ascii_lowercase();
            for pattern in PATTERNS {
                let pattern = Pattern::compile(pattern).unwrap();
                let holds = |literal: &Vec<u8>| memchr::memmem::find(lower.as_bytes(), literal).is_some();
                let has_literal = pattern.needs.literals.is_empty() || pattern.needs.literals.iter().any(holds);
                let is_allowed = has_literal && pattern.needs.allow(&ByteSet::of(text.as_bytes()));
                prop_assert!(is_allowed || !pattern.regex.is_match(text.as_bytes()));
            }
        }
    }
}
