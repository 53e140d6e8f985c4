//! Exceptions: findings that somebody looked at and does not want to hear of again, where they were found.
//!
//! An exception says what it hides, and where. One that would hide nothing, because it names nothing that there is, is a
//! mistake; so is one that would hide everything.

use std::collections::HashMap;
use std::sync::Arc;

use crate::checks::{check_of, checks_of};
use crate::inspector::without_origin;
use crate::report::{Family, Finding, Place};

/// How many exceptions may be in force. Those with an exact path are found by it, each other is held against each request.
pub const EXCEPTIONS_MAX: usize = 1000;
/// How long a reason may be, in characters.
const REASON_CHARS_MAX: usize = 500;
/// How long host and path may be, in bytes.
const WHERE_BYTES_MAX: usize = 2048;
/// How long the name of an argument, a cookie or a field may be, in characters: inspection cuts longer ones, so none would match.
const NAME_CHARS_MAX: usize = 64;
/// What in a path leads out of a folder, or may do so at one of the servers behind: such a path is below no prefix.
const DETOURS: &[&str] =
    &["..", "\\", "%2e", "%2f", "%5c", "%25", "%u", "%c0", "%c1", "%e0%80", "%f0%80", "%f8", "%fc"];

/// Why an exception is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExceptionError {
    /// It names a finding that inspection does not have.
    #[error("`finding` is `{found}`, and inspection finds no such thing; {known}")]
    UnknownFinding {
        /// What was written.
        found: String,
        /// What there is instead, in words.
        known: String,
    },
    /// It names a place that no request has.
    #[error(
        "`place` is `{0}`, and must be any, path, request line, query, body, or a kind with a name of at most 64 characters: \
         query argument, header, cookie, body field"
    )]
    UnknownPlace(String),
    /// Its host is none.
    #[error("`host` is `{0}`, and must be a name or an address as clients write it, with or without a port")]
    BadHost(String),
    /// Its path is none.
    #[error("`{key}` is `{path}`, and must begin with `/`, have no query, and lead nowhere else by dots or encodings")]
    BadPath {
        /// The key it was given for.
        key: &'static str,
        /// What was written.
        path: String,
    },
    /// It has a path and a prefix.
    #[error("it has `path` and `path_prefix`, and one of them is enough")]
    TwoPaths,
    /// It would hide everything.
    #[error("it would hide everything; name a finding, a place or a path")]
    Everything,
    /// It says not why.
    #[error("`reason` is missing: somebody will ask why this is hidden")]
    NoReason,
    /// A text is too long.
    #[error("`{key}` is longer than {max} characters")]
    TooLong {
        /// The key.
        key: &'static str,
        /// How long it may be.
        max: usize,
    },
    /// There are too many.
    #[error("there are more than {EXCEPTIONS_MAX} exceptions")]
    TooMany,
}

/// An exception as it is written down, word for word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// A family (`sqli`), or a family and a check (`sqli/sql-union`); `None` for every finding.
    pub finding: Option<String>,
    /// Where it stands, in the words of [`Place`]; `None` and `any` for every place.
    pub place: Option<String>,
    /// The host of the request; without a port, on every port. `None` for every host.
    pub host: Option<String>,
    /// The path of the request, exactly and as sent.
    pub path: Option<String>,
    /// A folder: this path and all below it.
    pub path_prefix: Option<String>,
    /// Why.
    pub reason: String,
    /// Who said so; empty when unknown.
    pub by: String,
    /// When, RFC 3339; empty when unknown.
    pub at: String,
}

/// Which findings are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Family(Family),
    Check(Family, &'static str),
}

/// Which paths are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Below {
    Exactly(String),
    Folder(String),
}

/// An exception that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    named: Option<Named>,
    place: Option<Place>,
    host: Option<String>,
    path: Option<Below>,
    draft: Draft,
}

impl Exception {
    /// Makes sense of what is written.
    ///
    /// # Errors
    ///
    /// [`ExceptionError`]: it names something that there is not, hides everything, or says not why.
    pub fn of(draft: Draft) -> Result<Self, ExceptionError> {
        let named = draft.finding.as_deref().map(named_of).transpose()?;
        let place = draft.place.as_deref().filter(|it| it.trim() != "any").map(place_of).transpose()?;
        let host = draft.host.as_deref().map(host_of).transpose()?;
        let path = match (draft.path.as_deref(), draft.path_prefix.as_deref()) {
            (None, None) => None,
            (Some(path), None) => Some(Below::Exactly(path_of("path", path)?)),
            (None, Some("/")) => None,
            (None, Some(path)) => Some(Below::Folder(folder_of(path)?)),
            (Some(_), Some(_)) => return Err(ExceptionError::TwoPaths),
        };
        if named.is_none() && place.is_none() && path.is_none() {
            return Err(ExceptionError::Everything);
        }
        if draft.reason.trim().is_empty() {
            return Err(ExceptionError::NoReason);
        }
        for (key, text) in [("reason", &draft.reason), ("by", &draft.by), ("at", &draft.at)] {
            if REASON_CHARS_MAX < text.chars().count() {
                return Err(ExceptionError::TooLong { key, max: REASON_CHARS_MAX });
            }
        }
        Ok(Self { named, place, host, path, draft })
    }

    /// What was written.
    #[must_use]
    pub const fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Whether it speaks of requests to `host`, where that is known, with `path`, as sent and without its query.
    fn is_about(&self, host: Option<&str>, path: &[u8]) -> bool {
        let is_path = match &self.path {
            None => true,
            Some(Below::Exactly(wanted)) => wanted.as_bytes() == path,
            Some(Below::Folder(folder)) => is_below(folder.as_bytes(), path),
        };
        is_path && self.host.as_deref().is_none_or(|wanted| host.is_some_and(|it| is_host(wanted, it)))
    }

    /// Whether it hides a finding in a request that it speaks of.
    fn hides(&self, finding: &Finding) -> bool {
        let is_named = match self.named {
            None => true,
            Some(Named::Family(family)) => family == finding.family,
            Some(Named::Check(family, check)) => family == finding.family && check == finding.check,
        };
        is_named && self.place.as_ref().is_none_or(|it| *it == finding.place)
    }
}

/// The exceptions in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    list: Vec<Exception>,
    /// The places of those that speak of one path, by that path.
    by_path: HashMap<Vec<u8>, Vec<usize>>,
    /// The places of all others.
    others: Vec<usize>,
}

impl Exceptions {
    /// Puts exceptions into force together.
    ///
    /// # Errors
    ///
    /// [`ExceptionError::TooMany`] above [`EXCEPTIONS_MAX`].
    pub fn of(list: Vec<Exception>) -> Result<Self, ExceptionError> {
        if EXCEPTIONS_MAX < list.len() {
            return Err(ExceptionError::TooMany);
        }
        let (mut by_path, mut others) = (HashMap::<_, Vec<usize>>::new(), Vec::new());
        for (number, exception) in list.iter().enumerate() {
            match &exception.path {
                Some(Below::Exactly(path)) => by_path.entry(path.as_bytes().to_vec()).or_default().push(number),
                _ => others.push(number),
            }
        }
        Ok(Self { list, by_path, others })
    }

    /// All of them, in the order in which they are written.
    #[must_use]
    pub fn list(&self) -> &[Exception] {
        &self.list
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those that speak of one request: to `host`, where that is known, with `target`, its path and query as sent.
    #[must_use]
    pub fn cover(self: &Arc<Self>, host: Option<&str>, target: &[u8]) -> Cover {
        if self.list.is_empty() {
            return Cover::default();
        }
        let path = path_of_target(target);
        let exact = self.by_path.get(path).into_iter().flatten();
        let about = exact.chain(&self.others).copied().filter(|it| self.list[*it].is_about(host, path));
        let numbers: Vec<usize> = about.collect();
        Cover { exceptions: (!numbers.is_empty()).then(|| self.clone()), numbers }
    }
}

/// The exceptions that speak of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    exceptions: Option<Arc<Exceptions>>,
    /// Their places in the list.
    numbers: Vec<usize>,
}

impl Cover {
    /// Whether one of them hides a finding.
    #[must_use]
    pub fn covers(&self, finding: &Finding) -> bool {
        let Some(exceptions) = &self.exceptions else { return false };
        self.numbers.iter().filter_map(|it| exceptions.list.get(*it)).any(|it| it.hides(finding))
    }
}

/// The path of a target, as sent: without scheme, host and query. The empty path is `/`.
#[must_use]
pub fn path_of_target(target: &[u8]) -> &[u8] {
    let target = without_origin(target);
    let end = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
    if end == 0 { b"/" } else { &target[..end] }
}

fn named_of(text: &str) -> Result<Named, ExceptionError> {
    let (family, check) = match text.split_once('/') {
        Some((family, check)) => (family, Some(check)),
        None => (text, None),
    };
    let unknown = |known: String| ExceptionError::UnknownFinding { found: text.to_owned(), known };
    let with_checks = |it: &Family| !checks_of(*it).is_empty();
    let Some(family) = Family::from_word(family).filter(with_checks) else {
        let words: Vec<&str> = Family::ALL.into_iter().filter(with_checks).map(Family::as_str).collect();
        return Err(unknown(format!("the families are {}", words.join(", "))));
    };
    let Some(check) = check else { return Ok(Named::Family(family)) };
    let found = check_of(family, check);
    let known = || format!("the checks of `{}` are {}", family.as_str(), checks_of(family).join(", "));
    found.map(|it| Named::Check(family, it)).ok_or_else(|| unknown(known()))
}

fn place_of(text: &str) -> Result<Place, ExceptionError> {
    let unknown = || ExceptionError::UnknownPlace(text.to_owned());
    let place = Place::from_words(text).ok_or_else(unknown)?;
    let name = match &place {
        Place::Query(name) | Place::Cookie(name) | Place::Body(name) => name.as_str(),
        Place::RequestLine | Place::Path | Place::Header(_) => "",
    };
    if NAME_CHARS_MAX < name.chars().count() { Err(unknown()) } else { Ok(place) }
}

fn host_of(text: &str) -> Result<String, ExceptionError> {
    let is_odd = |it: char| it.is_whitespace() || it.is_control() || matches!(it, '/' | '?' | '#' | '@' | '*');
    if text.is_empty() || WHERE_BYTES_MAX < text.len() || text.contains(is_odd) {
        return Err(ExceptionError::BadHost(text.to_owned()));
    }
    Ok(text.to_ascii_lowercase())
}

/// A path that can be one: what has a detour in it is allowed where it is meant exactly.
fn path_of(key: &'static str, text: &str) -> Result<String, ExceptionError> {
    let is_odd = |it: char| it.is_control() || matches!(it, '?' | '#');
    if !text.starts_with('/') || WHERE_BYTES_MAX < text.len() || text.contains(is_odd) {
        return Err(ExceptionError::BadPath { key, path: text.to_owned() });
    }
    Ok(text.to_owned())
}

fn folder_of(text: &str) -> Result<String, ExceptionError> {
    let folder = path_of("path_prefix", text)?;
    if has_detour(folder.as_bytes()) {
        return Err(ExceptionError::BadPath { key: "path_prefix", path: folder });
    }
    Ok(folder)
}

/// Whether a path is that of a folder or below it, segment by segment: `/a` has `/a` and `/a/b` below it and `/ab` not.
fn is_below(folder: &[u8], path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(folder) else { return false };
    (rest.is_empty() || folder.ends_with(b"/") || rest.starts_with(b"/")) && !has_detour(rest)
}

fn has_detour(path: &[u8]) -> bool {
    DETOURS.iter().any(|it| path.windows(it.len()).any(|at| at.eq_ignore_ascii_case(it.as_bytes())))
}

/// Whether a request to `asked` is one to `wanted`, which is in lower case.
fn is_host(wanted: &str, asked: &str) -> bool {
    wanted.eq_ignore_ascii_case(asked) || (name_of(wanted) == wanted && wanted.eq_ignore_ascii_case(name_of(asked)))
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, _)) if !name.contains(':') || name.ends_with(']') => name,
        _ => host,
    }
}

#[cfg(test)]
#[path = "exception_tests.rs"]
mod tests;
