//! What inspection says of a request.

use std::fmt;
use std::sync::Arc;

use crate::exception::{Cover, Exceptions};

/// The kind of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// SQL that leaves its place in a statement.
    SqlInjection,
    /// Script or markup that a browser would run.
    CrossSiteScripting,
    /// Paths that leave their folder, or name files that nobody should ask for.
    PathTraversal,
    /// Files or wrappers from elsewhere where a file of the application is meant.
    FileInclusion,
    /// Commands for a shell.
    CommandInjection,
    /// Code for an interpreter: PHP, Java, JavaScript, Python, LDAP, XPath and the like.
    CodeInjection,
    /// Expressions for a template engine.
    TemplateInjection,
    /// Addresses that the server is to fetch from where it should not.
    RequestForgery,
    /// Entities of XML that read files or fetch addresses.
    XmlEntity,
    /// Look-ups such as `${jndi:...}`.
    Lookup,
    /// Header fields and bodies that two servers would read differently, and line breaks put into them.
    ProtocolAttack,
    /// Tools that look for holes.
    Scanner,
    /// Automated clients that do not hide it.
    Bot,
    /// What is unusual and no attack: an odd content type, an address for a host. Never adds to the attack score.
    Policy,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::SqlInjection,
        Self::CrossSiteScripting,
        Self::PathTraversal,
        Self::FileInclusion,
        Self::CommandInjection,
        Self::CodeInjection,
        Self::TemplateInjection,
        Self::RequestForgery,
        Self::XmlEntity,
        Self::Lookup,
        Self::ProtocolAttack,
        Self::Scanner,
        Self::Bot,
        Self::Policy,
    ];

    /// Its word in fields and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SqlInjection => "sqli",
            Self::CrossSiteScripting => "xss",
            Self::PathTraversal => "traversal",
            Self::FileInclusion => "inclusion",
            Self::CommandInjection => "rce",
            Self::CodeInjection => "code",
            Self::TemplateInjection => "template",
            Self::RequestForgery => "ssrf",
            Self::XmlEntity => "xxe",
            Self::Lookup => "lookup",
            Self::ProtocolAttack => "protocol",
            Self::Scanner => "scanner",
            Self::Bot => "bot",
            Self::Policy => "policy",
        }
    }

    /// Finds it by its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// Whether it is an attack: whether its score adds to the attack score.
    #[must_use]
    pub const fn is_attack(self) -> bool {
        !matches!(self, Self::Bot | Self::Policy)
    }
}

/// Where in a request something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The request line as a whole: method, target, version.
    RequestLine,
    /// The path of the target.
    Path,
    /// An argument of the query, by name; the empty name for a query without names.
    Query(String),
    /// A header field, by name in lower case.
    Header(String),
    /// A cookie, by name.
    Cookie(String),
    /// A field of the body, by name or path (`user.name`, `items[2]`); the empty name for the body as a whole.
    Body(String),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestLine => write!(out, "request line"),
            Self::Path => write!(out, "path"),
            Self::Query(name) if name.is_empty() => write!(out, "query"),
            Self::Query(name) => write!(out, "query argument `{name}`"),
            Self::Header(name) => write!(out, "header `{name}`"),
            Self::Cookie(name) => write!(out, "cookie `{name}`"),
            Self::Body(name) if name.is_empty() => write!(out, "body"),
            Self::Body(name) => write!(out, "body field `{name}`"),
        }
    }
}

impl Place {
    /// Reads the words of [`Display`](fmt::Display), with or without the marks around the name: `query argument `q`` or
    /// `query argument q`.
    #[must_use]
    pub fn from_words(words: &str) -> Option<Self> {
        let words = words.trim();
        match words {
            "request line" => return Some(Self::RequestLine),
            "path" => return Some(Self::Path),
            "query" => return Some(Self::Query(String::new())),
            "body" => return Some(Self::Body(String::new())),
            _ => {}
        }
        let named = |kind: &str| {
            let name = words.strip_prefix(kind)?.strip_prefix(' ')?;
            let marked = name.strip_prefix('`').and_then(|it| it.strip_suffix('`'));
            Some(marked.unwrap_or(name).to_owned())
        };
        let is_there = |it: &String| !it.is_empty();
        named("query argument")
            .filter(is_there)
            .map(Self::Query)
            .or_else(|| named("body field").filter(is_there).map(Self::Body))
            .or_else(|| named("header").filter(is_there).map(|it| Self::Header(it.to_ascii_lowercase())))
            .or_else(|| named("cookie").map(Self::Cookie))
    }
}

/// Something that stands out in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind it is.
    pub family: Family,
    /// The check that found it, a stable word such as `sql-tautology`: what exceptions name.
    pub check: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What stood there after decoding, at most [`EXCERPT_MAX`] bytes around it.
    pub excerpt: String,
    /// How sure the check is, 0 to 100.
    pub confidence: u8,
    /// What it adds to the score of its side, attack or policy.
    pub score: u32,
}

impl Finding {
    /// Family and check, as `sqli/sql-union`: what lists and exceptions name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.family.as_str(), self.check)
    }

    /// The finding in a sentence: `sqli/sql-union in query argument `q`: 1' union select`.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{} in {}: {}", self.name(), self.place, self.excerpt)
    }
}

/// How many bytes of a value a finding shows.
pub const EXCERPT_MAX: usize = 160;
/// The attack score at which a request is taken for an attack.
pub const ATTACK_SCORE: u32 = 5;

/// Why a part of a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is longer than what is read.
    Length,
    /// It is of a type that is not read as text.
    Type,
    /// It is in an alphabet that is not known.
    Charset,
    /// It is compressed in a way that is not known, or not as it says.
    Encoding,
}

impl Unread {
    /// Its word in fields of events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Type => "type",
            Self::Charset => "charset",
            Self::Encoding => "encoding",
        }
    }
}

/// All that was found in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What stands out, in the order in which it was come upon; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// The sum of the scores of findings that are attacks; [`ATTACK_SCORE`] and above is an attack.
    pub attack_score: u32,
    /// How likely a program sent it, 0 to 100.
    pub bot_score: u32,
    /// What stood out too and is left out by an exception; at most [`FINDINGS_MAX`]. It adds to no score.
    pub excepted: Vec<Finding>,
    /// Why a part of the body that was handed over was not read, the first reason; `None`: all of it was.
    pub unread: Option<Unread>,
    /// The exceptions in force for this request.
    cover: Cover,
    /// How often something was added, whatever became of it.
    added: usize,
}

/// How many findings a report holds; more of the same request say nothing new.
pub const FINDINGS_MAX: usize = 16;

impl Report {
    /// Whether the request is taken for an attack.
    #[must_use]
    pub const fn is_attack(&self) -> bool {
        ATTACK_SCORE <= self.attack_score
    }

    /// Whether nothing at all stands out.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.bot_score == 0
    }

    /// The families of the attacks in it, each once, in order.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = self.findings.iter().map(|it| it.family).filter(|it| it.is_attack()).collect();
        families.sort_unstable();
        families.dedup();
        families
    }

    /// Makes it empty and keeps the memory. No exception is in force then.
    pub fn clear(&mut self) {
        self.findings.clear();
        self.excepted.clear();
        self.attack_score = 0;
        self.bot_score = 0;
        self.unread = None;
        self.cover = Cover::default();
        self.added = 0;
    }

    /// Makes it empty for a request to `host` (where that is known) with `target`, its path and query as sent: findings that
    /// `exceptions` cover there are left out as they come.
    ///
    /// They are left out before they are counted against [`FINDINGS_MAX`]: what is excepted hides nothing that is not.
    pub fn begin(&mut self, exceptions: &Arc<Exceptions>, host: Option<&str>, target: &[u8]) {
        self.clear();
        self.cover = exceptions.cover(host, target);
    }

    /// How often something was added since it was made empty, whether it was kept or not.
    pub(crate) const fn added(&self) -> usize {
        self.added
    }

    /// Adds a finding, unless an exception covers it or there are too many. Of the same check at the same place the one with
    /// the greatest score stays.
    pub fn add(&mut self, finding: Finding) {
        debug_assert!(
            crate::checks::check_of(finding.family, finding.check).is_some(),
            "`{}` is missing in the list of checks",
            finding.name()
        );
        self.added += 1;
        let is_excepted = self.cover.covers(&finding);
        let scored = |it: &Finding| if it.family.is_attack() && !is_excepted { it.score } else { 0 };
        let list = if is_excepted { &mut self.excepted } else { &mut self.findings };
        let known = list.iter().position(|it| it.check == finding.check && it.place == finding.place);
        match known {
            Some(at) if list[at].score < finding.score => {
                self.attack_score = self.attack_score - scored(&list[at]) + scored(&finding);
                list[at] = finding;
            }
            Some(_) => {}
            None if FINDINGS_MAX <= list.len() => {}
            None => {
                self.attack_score += scored(&finding);
                list.push(finding);
            }
        }
    }
}

/// A part of a value as people can read it: at most [`EXCERPT_MAX`] bytes, without control characters.
pub(crate) fn excerpt_of(value: &[u8], at: std::ops::Range<usize>) -> String {
    let begin = at.start.min(value.len());
    let end = at.end.clamp(begin, value.len()).min(begin + EXCERPT_MAX);
    let text = String::from_utf8_lossy(&value[begin..end]);
    text.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_shown() {
        let name = || "a`: b".to_owned();
        for place in [
            Place::RequestLine,
            Place::Path,
            Place::Query(String::new()),
            Place::Query(name()),
            Place::Query("`q`".to_owned()),
            Place::Header("x-a".to_owned()),
            Place::Cookie(String::new()),
            Place::Cookie(name()),
            Place::Body(String::new()),
            Place::Body("items[2].name".to_owned()),
        ] {
            assert_eq!(Place::from_words(&place.to_string()), Some(place));
        }
        assert_eq!(Place::from_words("header X-Forwarded-For"), Some(Place::Header("x-forwarded-for".to_owned())));
        for words in ["", "somewhere", "query argument", "query argument ``", "header", "headers `a`"] {
            assert_eq!(Place::from_words(words), None, "{words}");
        }
    }
}
