//! The settings of a destination: text by key, read by whoever needs a key, and nothing left over.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use model::severity::Severity;
use outbound::client::Client;
use outbound::target::Target;

use crate::route::Route;
use outbound::secret::Secret;

/// How long the name of a destination may be.
const NAME_CHARS_MAX: usize = 40;
/// How many destinations there may be: each has a worker of its own.
pub const DESTINATIONS_MAX: usize = 100;
/// How many rules a list may name.
const PATTERNS_MAX: usize = 1000;
/// The longest repeat interval: the store remembers what was told for so long.
const REPEAT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Keys whose values are never shown unless they are references.
pub const SECRET_KEYS: &[&str] = &["url", "secret", "routing_key", "password", "authorization"];

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{section}.{destination}.{key}` {message}")]
pub struct SettingError {
    /// The section: `notify`, or another whose members are like destinations.
    pub section: &'static str,
    /// The destination.
    pub destination: String,
    /// The key.
    pub key: String,
    /// What is wrong, and what would do; never the value of a secret.
    pub message: String,
}

/// Where values come from that settings only refer to.
pub struct Surroundings<'a> {
    /// The value of a variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a time as the configuration writes it: `90s`, `15m`, `14d`.
    pub duration: &'a dyn Fn(&str) -> Option<Duration>,
}

/// The settings of one destination, as they were written; lists have a line for each of their elements.
pub struct Settings<'a> {
    section: &'static str,
    name: &'a str,
    values: &'a BTreeMap<String, String>,
    around: &'a Surroundings<'a>,
    read: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Settings<'a> {
    /// Takes the settings of the destination `name`.
    ///
    /// # Errors
    ///
    /// A name that is none.
    pub fn new(
        name: &'a str,
        values: &'a BTreeMap<String, String>,
        around: &'a Surroundings<'a>,
    ) -> Result<Self, SettingError> {
        Self::of_section("notify", name, values, around)
    }

    /// The same for a member of another section.
    ///
    /// # Errors
    ///
    /// A name that is none.
    pub fn of_section(
        section: &'static str,
        name: &'a str,
        values: &'a BTreeMap<String, String>,
        around: &'a Surroundings<'a>,
    ) -> Result<Self, SettingError> {
        let is_name = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '-' | '_');
        let settings = Self { section, name, values, around, read: RefCell::default() };
        if name.is_empty() || NAME_CHARS_MAX < name.len() || !name.chars().all(is_name) {
            let message = "must be called by 1 to 40 of the characters a-z, 0-9, `-` and `_`";
            return Err(settings.wrong("*", message));
        }
        Ok(settings)
    }

    /// The destination's name.
    #[must_use]
    pub const fn name(&self) -> &str {
        self.name
    }

    /// Says that a key is wrong.
    #[must_use]
    pub fn wrong(&self, key: &str, message: impl Into<String>) -> SettingError {
        SettingError {
            section: self.section,
            destination: self.name.to_owned(),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    /// Reads a text; `None` when it is not set.
    #[must_use]
    pub fn text(&self, key: &'static str) -> Option<&'a str> {
        self.read.borrow_mut().insert(key);
        self.values.get(key).map(String::as_str).filter(|it| !it.is_empty())
    }

    /// Reads a text that must be there.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn required(&self, key: &'static str, wanted: &str) -> Result<&'a str, SettingError> {
        self.text(key).ok_or_else(|| self.wrong(key, format!("is missing; it must be {wanted}")))
    }

    /// Reads a list.
    #[must_use]
    pub fn list(&self, key: &'static str) -> Vec<String> {
        let lines = self.text(key).unwrap_or_default().lines();
        lines.map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    }

    /// Reads one of several words; the first is the default.
    ///
    /// # Errors
    ///
    /// Another word.
    pub fn one_of<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Result<T, SettingError> {
        let Some(text) = self.text(key) else { return Ok(words[0].1) };
        words.iter().find(|it| it.0 == text).map(|it| it.1).ok_or_else(|| {
            let there: Vec<_> = words.iter().map(|it| format!("`{}`", it.0)).collect();
            self.wrong(key, format!("is `{text}`, and must be one of {}", there.join(", ")))
        })
    }

    /// Reads true or false.
    ///
    /// # Errors
    ///
    /// Anything else.
    pub fn flag(&self, key: &'static str, default: bool) -> Result<bool, SettingError> {
        let wrong = |it: &str| self.wrong(key, format!("is `{it}`, and must be true or false"));
        self.text(key).map_or(Ok(default), |it| it.parse().map_err(|_| wrong(it)))
    }

    /// Reads a time.
    ///
    /// # Errors
    ///
    /// What is none, or longer than `longest`.
    pub fn duration(&self, key: &'static str, default: Duration, longest: Duration) -> Result<Duration, SettingError> {
        let Some(text) = self.text(key) else { return Ok(default) };
        let read = (self.around.duration)(text).filter(|it| *it <= longest);
        let longest = longest.as_secs();
        read.ok_or_else(|| {
            self.wrong(key, format!("is `{text}`, and must be a time as `90s` or `1h`, at most {longest}s"))
        })
    }

    /// Reads a secret, which may be a reference.
    ///
    /// # Errors
    ///
    /// A reference that leads nowhere.
    pub(crate) fn secret(&self, key: &'static str) -> Result<Option<Secret>, SettingError> {
        let found = self.text(key).map(|it| Secret::find(it, self.around.variable)).transpose();
        found.map_err(|it| self.wrong(key, it))
    }

    /// Reads a list of secrets.
    pub(crate) fn secrets(&self, key: &'static str) -> Result<Vec<Secret>, SettingError> {
        let found = self.list(key).iter().map(|it| Secret::find(it, self.around.variable)).collect::<Result<_, _>>();
        found.map_err(|it| self.wrong(key, it))
    }

    /// Reads a secret that must be there.
    pub(crate) fn required_secret(&self, key: &'static str, wanted: &str) -> Result<Secret, SettingError> {
        self.secret(key)?.ok_or_else(|| {
            let message = format!("is missing; it must be {wanted}, `env:NAME` or `file:PATH`");
            self.wrong(key, message)
        })
    }

    /// Reads the address `url`, which may be a secret.
    ///
    /// # Errors
    ///
    /// When it is missing, none, or one that may not be connected to.
    pub fn target(&self, wanted: &str, client: &Client) -> Result<Target, SettingError> {
        let url = self.required_secret("url", wanted)?;
        let target = Target::parse(url.expose()).map_err(|it| self.wrong("url", it))?;
        self.check_host("url", &target.host, client)?;
        Ok(target)
    }

    /// Reads the header `authorization`, which is a secret; none where there is no such key.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no value of a header.
    pub fn authorization(&self) -> Result<Vec<(HeaderName, HeaderValue)>, SettingError> {
        let Some(secret) = self.secret("authorization")? else { return Ok(Vec::new()) };
        let mut value = HeaderValue::from_str(secret.expose())
            .map_err(|_| self.wrong("authorization", "must be the value of a header, as `Bearer KEY`"))?;
        value.set_sensitive(true);
        Ok(vec![(AUTHORIZATION, value)])
    }

    /// Refuses an address that could never be connected to.
    ///
    /// # Errors
    ///
    /// When it is one.
    pub fn check_host(&self, key: &str, host: &str, client: &Client) -> Result<(), SettingError> {
        if !client.dialer().refuses(host) {
            return Ok(());
        }
        let fix = format!("leads to `{host}`, which is no public address; if it is meant, add it to `outbound.allow`");
        Err(self.wrong(key, fix))
    }

    /// Reads what says who is told of what; `tells_closed` is the default of the channel.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub fn route(&self, tells_closed: bool) -> Result<Route, SettingError> {
        let severity = self.text("min_severity").unwrap_or("medium");
        let words = "informational, low, medium, high or critical";
        let severity_min = Severity::from_word(severity)
            .ok_or_else(|| self.wrong("min_severity", format!("is `{severity}`, and must be {words}")))?;
        Ok(Route {
            destination: self.name.to_owned(),
            severity_min,
            include: self.patterns("include")?,
            exclude: self.patterns("exclude")?,
            repeat: self.duration("repeat", Duration::from_secs(3600), REPEAT_MAX)?,
            tells_closed: self.flag("closed", tells_closed)?,
            has_synthetic: self.flag("synthetic", false)?,
            tells_decisions: self.flag("decisions", false)?,
        })
    }

    fn patterns(&self, key: &'static str) -> Result<Vec<String>, SettingError> {
        let patterns = self.list(key);
        if PATTERNS_MAX < patterns.len() {
            return Err(self.wrong(key, format!("names more than {PATTERNS_MAX} rules")));
        }
        match patterns.iter().find(|it| it.trim_end_matches('*').contains('*') || it.ends_with("**")) {
            None => Ok(patterns),
            Some(it) => Err(self.wrong(key, format!("has `{it}`; a `*` may stand at the end only"))),
        }
    }

    /// Refuses keys that nobody has read.
    ///
    /// # Errors
    ///
    /// The first of them, with those there are.
    pub fn end(&self) -> Result<(), SettingError> {
        let read = self.read.borrow();
        match self.values.keys().find(|it| !read.contains(it.as_str())) {
            None => Ok(()),
            Some(key) => {
                let there: Vec<_> = read.iter().copied().collect();
                Err(self.wrong(key, format!("is not known here; there are {}", there.join(", "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::samples::client;

    fn with<T>(values: &[(&str, &str)], read: impl Fn(&Settings<'_>) -> T) -> T {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let duration = |it: &str| it.strip_suffix('s')?.parse().ok().map(Duration::from_secs);
        let around = Surroundings { variable: &|_| None, duration: &duration };
        read(&Settings::new("ops", &values, &around).expect("it is a name"))
    }

    #[track_caller]
    fn refused<T>(values: &[(&str, &str)], read: impl Fn(&Settings<'_>) -> Result<T, SettingError>, expected: &str) {
        let error = with(values, |it| read(it).map(|_| ()).expect_err("it is wrong"));
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_route_has_sensible_defaults() {
        let route = with(&[], |it| it.route(false)).expect("nothing is wrong");
        assert_eq!((route.severity_min, route.repeat.as_secs()), (Severity::Medium, 3600));
        assert!(!route.tells_closed && !route.has_synthetic && route.include.is_empty());
    }

    #[test]
    fn a_complaint_names_the_key_and_what_would_do() {
        let route = |it: &Settings<'_>| it.route(false);
        refused(
            &[("min_severity", "bad")],
            route,
            "`notify.ops.min_severity` is `bad`, and must be informational, low, medium, high or critical",
        );
        refused(
            &[("repeat", "often")],
            route,
            "`notify.ops.repeat` is `often`, and must be a time as `90s` or `1h`, at most 2592000s",
        );
        refused(
            &[("repeat", "2592001s")],
            route,
            "`notify.ops.repeat` is `2592001s`, and must be a time as `90s` or `1h`, at most 2592000s",
        );
        refused(&[("include", "a*b")], route, "`notify.ops.include` has `a*b`; a `*` may stand at the end only");
        refused(&[("closed", "yes")], route, "`notify.ops.closed` is `yes`, and must be true or false");
        refused(
            &[("url", "env:AWAY")],
            |it| it.target("x", &client()),
            "`notify.ops.url` names the variable `AWAY`, which is not set",
        );
        refused(
            &[],
            |it| it.target("an address", &client()),
            "`notify.ops.url` is missing; it must be an address, `env:NAME` or `file:PATH`",
        );
        refused(
            &[("url", "ftp://secret/")],
            |it| it.target("x", &client()),
            "`notify.ops.url` must begin with `https://` or `http://`",
        );
    }

    #[test]
    fn what_nobody_reads_is_refused() {
        let read = |it: &Settings<'_>| {
            assert_eq!(it.text("a"), Some("1"));
            it.end()
        };
        with(&[("a", "1")], read).expect("it was read");
        refused(&[("a", "1"), ("b", "2")], read, "`notify.ops.b` is not known here; there are a");
    }

    #[test]
    fn a_name_is_short_and_plain() {
        let (values, none) = (BTreeMap::new(), |_: &str| None);
        let around = Surroundings { variable: &none, duration: &|_| None };
        let longest = "a".repeat(NAME_CHARS_MAX);
        for (name, expected) in [
            ("slack", true),
            (longest.as_str(), true),
            ("", false),
            ("A", false),
            ("a b", false),
            (&"a".repeat(NAME_CHARS_MAX + 1), false),
        ] {
            assert_eq!(Settings::new(name, &values, &around).is_ok(), expected, "{name}");
        }
    }
}
