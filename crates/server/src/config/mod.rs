//! Configuration: one table of keys, read from a file, then the environment, then flags; later wins.
//!
//! A resolved [`Config`] is complete and cannot be wrong. A complaint names the key, the value and what would do.

pub(crate) mod aliases;
pub(crate) mod crawlers;
pub(crate) mod decisions;
pub(crate) mod gateway;
pub(crate) mod inputs;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod notify;
pub(crate) mod store;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::keys::{KEYS, Kind};
use crate::failure::Failure;
use crate::units;

/// The file that is read without being named.
const FILE_NAME: &str = "bartizan.toml";
/// What every variable begins with.
const ENVIRONMENT_PREFIX: &str = "BARTIZAN_";

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) origin: String,
}

/// What was said, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raw {
    pub(crate) values: BTreeMap<&'static str, Told>,
    /// What was said of the destinations of messages, by name and key.
    pub(crate) destinations: BTreeMap<String, BTreeMap<String, Told>>,
    /// What was said of the sections that have a name of their own below them, by section.
    pub(crate) named: BTreeMap<&'static str, inputs::Named>,
    /// The file that was read, if any.
    pub(crate) file: Option<PathBuf>,
}

/// Who may come in without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) anonymous_ingest: bool,
    pub(crate) anonymous_read: bool,
    pub(crate) is_behind_proxy: bool,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// The listener for bouncers of CrowdSec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrowdsecConfig {
    pub(crate) listen: SocketAddr,
    /// Whether the section is there: then it listens from the start.
    pub(crate) is_wanted: bool,
    pub(crate) expands_ranges: bool,
}

/// The configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) access: Access,
    pub(crate) tls: Option<Tls>,
    pub(crate) watch: Vec<PathBuf>,
    pub(crate) rule_folders: Vec<PathBuf>,
    pub(crate) has_shipped_rules: bool,
    pub(crate) rules_config: Option<PathBuf>,
    /// Where `rules.toml` would be when there is none yet.
    pub(crate) rules_config_later: PathBuf,
    pub(crate) log: backends::log::embedded::Settings,
    pub(crate) log_place: log::LogPlace,
    /// Where alerts, decisions and keys are kept.
    pub(crate) store: store::StoreConfig,
    pub(crate) keep_closed: Duration,
    pub(crate) store_warn_bytes: u64,
    pub(crate) lateness: Duration,
    pub(crate) is_first_match: bool,
    pub(crate) bounds: detection::window::table::Bounds,
    pub(crate) body: web::body::BodyLimits,
    pub(crate) records_max: usize,
    pub(crate) head_timeout: Duration,
    pub(crate) anonymous_rate: f64,
    pub(crate) is_json_log: bool,
    /// Who verifies crawlers.
    pub(crate) crawlers: crawlers::CrawlersConfig,
    /// Where the list of crawlers is fetched from.
    pub(crate) crawlers_url: String,
    /// What holds decisions back.
    pub(crate) decisions: decisions::DecisionsConfig,
    pub(crate) crowdsec: CrowdsecConfig,
    /// `None`: there is no gateway.
    pub(crate) gateway: Option<gateway::GatewayConfig>,
    pub(crate) notify: notify::NotifyConfig,
    pub(crate) brokers: inputs::BrokersConfig,
}

impl Raw {
    /// Reads the file and the environment.
    pub(crate) fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Failure> {
        let mut raw = Self::default();
        let path = file.map(Path::to_owned).or_else(|| Path::new(FILE_NAME).exists().then(|| PathBuf::from(FILE_NAME)));
        if let Some(path) = path {
            raw.take_file(&path)?;
            raw.file = Some(path);
        }
        let mut theirs = aliases::Theirs::default();
        for (name, value) in environment {
            raw.take_variable(&name, &value)?;
            raw.take_slack(&name, &value);
            theirs.take(&name, &value);
        }
        raw.take_theirs(&theirs);
        Ok(raw)
    }

    /// Takes a flag.
    pub(crate) fn flag(&mut self, key: &'static str, text: String, flag: &str) {
        debug_assert!(KEYS.iter().any(|it| it.path == key));
        self.values.insert(key, Told { text, origin: format!("flag {flag}") });
    }

    /// Adds to a list by a flag.
    pub(crate) fn add(&mut self, key: &'static str, text: &str, flag: &str) {
        let origin = format!("flag {flag}");
        match self.values.get_mut(key).filter(|it| it.origin == origin) {
            Some(told) => {
                told.text.push('\n');
                told.text.push_str(text);
            }
            None => self.flag(key, text.to_owned(), flag),
        }
    }

    fn take_file(&mut self, path: &Path) -> Result<(), Failure> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("the configuration `{shown}` cannot be read: {error}")))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            Failure::usage(format!("the configuration `{shown}` is no TOML{}", place_of(&text, &error)))
        })?;
        for (section, value) in &table {
            let Some(members) = value.as_table() else {
                self.take_value(path, section, value)?;
                continue;
            };
            if section == notify::SECTION {
                let shown = path.display().to_string();
                members.iter().try_for_each(|(name, value)| self.take_destination(&shown, name, value))?;
                continue;
            }
            for (name, value) in members {
                if self.take_named(&path.display().to_string(), section, name, value)? {
                    continue;
                }
                self.take_value(path, &format!("{section}.{name}"), value)?;
            }
            if members.is_empty() && !KEYS.iter().any(|it| it.path.split('.').next() == Some(section)) {
                return Err(Failure::usage(format!(
                    "`{shown}`: there is no section `{section}`; there are {}",
                    keys::sections()
                )));
            }
        }
        Ok(())
    }

    fn take_value(&mut self, path: &Path, name: &str, value: &toml::Value) -> Result<(), Failure> {
        let shown = path.display();
        let Some(key) = KEYS.iter().find(|it| it.path == name) else {
            let hint = keys::hint(name);
            return Err(Failure::usage(format!("`{shown}`: there is no key `{name}`{hint}")));
        };
        let complaint = || {
            Failure::usage(format!(
                "`{shown}`: `{name}` is `{}`, and must be {}",
                shown_value(value),
                key.kind.wanted()
            ))
        };
        let text = match (key.kind, value) {
            (Kind::Flag, toml::Value::Boolean(it)) => it.to_string(),
            (Kind::Count, toml::Value::Integer(it)) => it.to_string(),
            (Kind::Paths, toml::Value::Array(them)) => {
                let texts: Option<Vec<_>> = them.iter().map(|it| it.as_str()).collect();
                texts.ok_or_else(complaint)?.join("\n")
            }
            (Kind::Texts | Kind::Networks | Kind::Exclusions, toml::Value::Array(them)) => {
                let texts: Option<Vec<_>> = them.iter().map(|it| it.as_str()).collect();
                texts.ok_or_else(complaint)?.join("\n")
            }
            (Kind::Routes, _) => gateway::lines_of_routes(value).ok_or_else(complaint)?,
            (Kind::Percent, toml::Value::Integer(it)) => it.to_string(),
            (Kind::Percent, toml::Value::Float(it)) => it.to_string(),
            (Kind::Flag | Kind::Count | Kind::Percent, _) => return Err(complaint()),
            (_, toml::Value::String(it)) => it.clone(),
            _ => return Err(complaint()),
        };
        let origin = path.display().to_string();
        self.values.insert(key.path, Told { text, origin });
        Ok(())
    }

    fn take_variable(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let Some((section, key)) = name.strip_prefix(ENVIRONMENT_PREFIX).and_then(|it| it.split_once("__")) else {
            return Ok(());
        };
        if section.eq_ignore_ascii_case(notify::SECTION) {
            return self.take_destination_variable(name, key, value);
        }
        if self.take_named_variable(name, section, key, value) {
            return Ok(());
        }
        let path = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
        let Some(key) = KEYS.iter().find(|it| it.path == path) else {
            return Err(Failure::usage(format!(
                "the variable `{name}` stands for no key: there is no `{path}`{}",
                keys::hint(&path)
            )));
        };
        self.values.insert(key.path, Told { text: value.to_owned(), origin: format!("variable {name}") });
        Ok(())
    }

    /// The text of a key: what was said, else its default.
    fn text(&self, path: &str) -> (&str, &str) {
        let default = KEYS.iter().find(|it| it.path == path).map_or("", |it| it.default);
        self.values.get(path).map_or((default, "default"), |it| (&it.text, &it.origin))
    }

    fn get<T>(&self, path: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Failure> {
        let (text, origin) = self.text(path);
        let wanted = KEYS.iter().find(|it| it.path == path).map_or("another value", |it| it.kind.wanted());
        read(text).ok_or_else(|| Failure::usage(format!("`{path}` is `{text}` ({origin}), and must be {wanted}")))
    }

    /// What was said of the keys of a section.
    pub(crate) fn section(&self, name: &str) -> BTreeMap<&'static str, String> {
        let is_in = |it: &str| it.split('.').next() == Some(name);
        self.values.iter().filter(|it| is_in(it.0)).map(|(key, told)| (*key, told.text.clone())).collect()
    }

    fn paths(&self, path: &str) -> Vec<PathBuf> {
        self.text(path).0.lines().filter(|it| !it.is_empty()).map(PathBuf::from).collect()
    }

    fn optional_path(&self, path: &str) -> Option<PathBuf> {
        Some(self.text(path).0).filter(|it| !it.is_empty()).map(PathBuf::from)
    }

    /// Makes it complete, or says what is wrong.
    pub(crate) fn resolve(&self) -> Result<Config, Failure> {
        let flag = |path: &str| self.get(path, |it| it.parse::<bool>().ok());
        let loopback = |path: &str| self.get(path, |it| one_of(it, &[("none", false), ("loopback", true)]));
        let access = Access {
            anonymous_ingest: loopback("access.anonymous_ingest")?,
            anonymous_read: loopback("access.anonymous_read")?,
            is_behind_proxy: self
                .get("access.plain_http", |it| one_of(it, &[("none", false), ("behind-proxy", true)]))?,
        };
        if access.is_behind_proxy && (access.anonymous_ingest || access.anonymous_read) {
            return Err(Failure::usage(
                "behind a proxy everybody comes from its address: `access.anonymous_ingest` and `access.anonymous_read` must be \
                 `none` with `access.plain_http = \"behind-proxy\"`",
            ));
        }
        let tls = match (self.optional_path("tls.cert"), self.optional_path("tls.key")) {
            (Some(cert), Some(key)) => Some(Tls { cert, key }),
            (None, None) => None,
            _ => return Err(Failure::usage("`tls.cert` and `tls.key` belong together; one of them is missing")),
        };
        let (text, origin) = self.text("limits.url");
        if !text.is_empty() {
            // The address may hold a password.
            let message = format!(
                "`limits.url` is set ({origin}), and no other backend is in this version: leave it out, and rates are \
                 counted in this process"
            );
            return Err(Failure::usage(message));
        }
        let count = |path: &str| self.get(path, |it| it.parse::<usize>().ok().filter(|it| 0 < *it));
        let size = |path: &str| self.get(path, |it| units::size(it).filter(|it| 0 < *it));
        let duration = |path: &str| self.get(path, units::duration);
        let listen: SocketAddr = self.get("server.listen", |it| it.parse().ok())?;
        let config = Config {
            data: self.get("server.data", |it| (!it.is_empty()).then(|| PathBuf::from(it)))?,
            listen,
            access,
            tls,
            watch: self.paths("inputs.watch"),
            rule_folders: self.paths("rules.folders"),
            has_shipped_rules: flag("rules.shipped")?,
            rules_config: self.rules_config(),
            rules_config_later: self.rules_config_later()?,
            log: backends::log::embedded::Settings {
                segment_bytes: size("log.segment")?.clamp(1 << 20, 1 << 30),
                keep_bytes: size("log.keep_size")?,
                keep_age: duration("log.keep_age")?,
                is_copy: false,
            },
            log_place: self.log_place(size("log.keep_size")?, duration("log.keep_age")?)?,
            store: self.store()?,
            keep_closed: duration("store.keep_closed")?,
            store_warn_bytes: size("store.warn_size")?,
            lateness: duration("detection.lateness")?,
            is_first_match: flag("detection.first_match")?,
            bounds: detection::window::table::Bounds {
                keys_max: count("detection.keys_max")?,
                seeds_max: self.get("detection.seeds_max", |it| it.parse().ok())?,
            },
            body: web::body::BodyLimits {
                sent_max: size("limits.body")? as usize,
                unpacked_max: size("limits.body_unpacked")? as usize,
                ratio_max: count("limits.ratio")?,
                stall: duration("limits.body_timeout")?,
            },
            records_max: count("limits.records")?,
            head_timeout: duration("limits.head_timeout")?,
            anonymous_rate: self.get("limits.anonymous_rate", units::rate)?,
            is_json_log: self.get("server.log_format", |it| one_of(it, &[("text", false), ("json", true)]))?,
            crawlers: self.crawlers()?,
            crawlers_url: self.crawlers_url()?,
            decisions: self.decisions()?,
            crowdsec: CrowdsecConfig {
                listen: self.get("crowdsec.listen", |it| it.parse().ok())?,
                is_wanted: self.values.keys().any(|it| it.starts_with("crowdsec.")),
                expands_ranges: flag("crowdsec.expand_ranges")?,
            },
            gateway: self.gateway()?,
            notify: self.notify()?,
            brokers: self.brokers(),
        };
        for address in [listen.ip(), config.crowdsec.listen.ip()] {
            if !address.is_loopback() && config.tls.is_none() && !access.is_behind_proxy {
                return Err(Failure::usage(format!(
                    "`{address}` is no loopback address: keys would travel in the clear. Give `[tls] cert` and `key`, or say \
                     `[access] plain_http = \"behind-proxy\"` when a proxy in front speaks TLS"
                )));
            }
        }
        Ok(config)
    }

    /// `rules.toml`: as named, else beside the configuration.
    fn rules_config(&self) -> Option<PathBuf> {
        let beside = || {
            let folder = self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
            Some(folder.join("rules.toml")).filter(|it| it.exists())
        };
        self.optional_path("rules.config").or_else(beside)
    }

    /// `rules.toml` when none is named and none is there: beside the configuration, and without one in the data folder.
    fn rules_config_later(&self) -> Result<PathBuf, Failure> {
        let folder = match self.file.as_deref().and_then(Path::parent) {
            Some(folder) => folder.to_owned(),
            None => self.get("server.data", |it| (!it.is_empty()).then(|| PathBuf::from(it)))?,
        };
        Ok(folder.join("rules.toml"))
    }

    /// What it resolved to, a line a key, with where each value came from; secrets hidden.
    pub(crate) fn show(&self) -> String {
        let mut out = String::new();
        for key in KEYS {
            let (text, origin) = self.text(key.path);
            let value = match key.kind {
                Kind::Flag | Kind::Count if !text.is_empty() => text.to_owned(),
                Kind::Paths | Kind::Texts | Kind::Networks | Kind::Routes | Kind::Exclusions => {
                    format!("[{}]", text.lines().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", "))
                }
                // It may hold a password.
                Kind::Url if !text.is_empty() => "\"...\"".to_owned(),
                _ => format!("{text:?}"),
            };
            out.push_str(&format!("{:<28} = {:<24} # {origin}\n", key.path, value));
        }
        out.push_str(&self.show_destinations());
        out.push_str(&self.show_named());
        out
    }
}

/// Where a file is no TOML, and why. The line itself is not shown: it may hold a secret.
fn place_of(text: &str, error: &toml::de::Error) -> String {
    let why = error.message();
    let Some(before) = error.span().and_then(|it| text.get(..it.start)) else { return format!(": {why}") };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |it| it.chars().count()) + 1;
    format!(", line {line}, column {column}: {why}")
}

/// A value of a file, for complaints.
pub(crate) fn shown_value(value: &toml::Value) -> String {
    match value {
        toml::Value::String(it) => it.clone(),
        toml::Value::Integer(it) => it.to_string(),
        toml::Value::Boolean(it) => it.to_string(),
        other => format!("a value of type {}", other.type_str()),
    }
}

fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|it| it.0 == text).map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bartizan.toml");
        fs::write(&path, text).unwrap();
        let complaint = Raw::read(Some(&path), std::iter::empty()).unwrap_err().to_string();
        assert!(complaint.contains(expected), "{complaint}");
        assert!(!complaint.contains("secret"), "{complaint}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_complained_of_by_place_without_its_text() {
        check("[server]\ndata = \"secret\n", "is no TOML, line 2, column ");
        check("[server]\nlisten = secret\n", "is no TOML, line 2, column 10: ");
        check("[server\n", "is no TOML, line 1, column ");
        check("[server]\ndata = \"a\"\ndata = \"secret\"\n", "is no TOML, line 3, column 1: ");
    }
}
