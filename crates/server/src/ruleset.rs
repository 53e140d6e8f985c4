//! Which rules are in force: shipped ones, those of the user's folders, and what `rules.toml` says of each.
//!
//! A set that was in force is kept by its digest in the data folder, so that a replay uses what was in force.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use attack::exception::Exceptions;
use decision::policy::Policy;
use detection::rules::{EngineSettings, RuleFile, RuleSetting, RuleState, Rules};
use model::severity::Severity;
use serde_json::{Value, json};
use sigma::error::RuleError;
use sigma::routing::Routing;

use crate::actions::{self, policy_of};
use crate::config::{Config, shown_value};
use crate::exceptions::{self, SECTION, exceptions_of};
use crate::failure::Failure;
use crate::folder::Folder;

include!(concat!(env!("OUT_DIR"), "/shipped_rules.rs"));

/// How large one rule file may be, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How many files are read at most.
const FILES_MAX: usize = 100_000;
/// How many former sets are kept.
const KEPT_MAX: usize = 50;

/// Everything that makes a rule set.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) files: Vec<RuleFile>,
    pub(crate) told: BTreeMap<String, RuleSetting>,
    pub(crate) exceptions: Exceptions,
    /// The rules that cost too much, by id; none of what was just read.
    pub(crate) suspended: BTreeSet<String>,
    /// What is done about alerts; it changes nothing that is detected, and is not kept with the set.
    pub(crate) policy: Policy,
    pub(crate) settings: EngineSettings,
}

/// Where the rules of a command come from.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) has_shipped: bool,
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) rules_config: Option<PathBuf>,
    /// Without `rules_config`: the file that is read in its place once it is there.
    pub(crate) rules_config_later: Option<PathBuf>,
    pub(crate) settings: EngineSettings,
}

impl Selection {
    pub(crate) fn of(config: &Config) -> Self {
        let settings = EngineSettings {
            lateness: config.lateness,
            is_first_match: config.is_first_match,
            ..EngineSettings::default()
        };
        Self {
            has_shipped: config.has_shipped_rules,
            folders: config.rule_folders.clone(),
            rules_config: config.rules_config.clone(),
            rules_config_later: Some(config.rules_config_later.clone()),
            settings,
        }
    }

    /// Reads everything. A folder that cannot be read and a bad `rules.toml` are failures; a bad rule is not.
    pub(crate) fn read(&self) -> Result<Sources, Failure> {
        let mut files = Vec::new();
        if self.has_shipped {
            files.extend(
                SHIPPED.iter().map(|(name, text)| RuleFile { name: (*name).to_owned(), text: (*text).to_owned() }),
            );
        }
        for folder in &self.folders {
            let mut found = Vec::new();
            collect(folder, &mut found)?;
            found.sort();
            files.extend(found.iter().map(|it| read_file(it)));
        }
        let mut told = settings_of(DEFAULTS, "rules/defaults.toml")?;
        let (mut exceptions, mut policy) = (Exceptions::default(), Policy::default());
        if let Some((text, shown)) = self.read_rules_config()? {
            for (id, setting) in settings_of(&text, &shown)? {
                let known: &mut RuleSetting = told.entry(id).or_default();
                known.state = setting.state.or(known.state);
                known.severity = setting.severity.or(known.severity);
            }
            exceptions = exceptions_of(&text, &shown)?;
            policy = policy_of(&text, &shown)?;
        }
        Ok(Sources { files, told, exceptions, suspended: BTreeSet::new(), policy, settings: self.settings })
    }

    /// The file that holds what is said of rules, whether it is there or not; `None` when nothing is to be said.
    pub(crate) fn rules_file(&self) -> Option<&Path> {
        self.rules_config.as_deref().or(self.rules_config_later.as_deref())
    }

    /// Reads the exceptions alone.
    pub(crate) fn read_exceptions(&self) -> Result<Exceptions, Failure> {
        self.read_rules_config()?
            .map_or_else(|| Ok(Exceptions::default()), |(text, shown)| exceptions_of(&text, &shown))
    }

    /// The text of `rules.toml` and its name; `None` without one.
    fn read_rules_config(&self) -> Result<Option<(String, String)>, Failure> {
        let Some(path) = self.rules_file() else { return Ok(None) };
        let shown = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some((text, shown))),
            // That the data folder is none is said by who opens it.
            Err(error) if is_missing(&error) && self.rules_config.is_none() => Ok(None),
            Err(error) => Err(Failure::usage(format!("`{shown}` cannot be read: {error}"))),
        }
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

impl Sources {
    /// Compiles the rules; complaints name file, line and reason. What is told of rules that do not exist is complained
    /// of too.
    pub(crate) fn compile(&self) -> (Rules, Vec<RuleError>, Vec<String>) {
        let (rules, errors) = Rules::compile(&self.files, &self.told, self.settings);
        let rules = rules.with_exceptions(self.exceptions.clone()).without(&self.suspended);
        let known: Vec<&str> = rules.rules.iter().chain(&rules.correlations).map(|it| it.id.as_str()).collect();
        let unknown = self.told.keys().filter(|it| !known.contains(&it.as_str()));
        let complaints = unknown.map(|it| format!("rules.toml: there is no rule `{it}`")).collect();
        (rules, errors, complaints)
    }

    fn encode(&self) -> String {
        let files: Vec<_> = self.files.iter().map(|it| json!([it.name, it.text])).collect();
        let told: serde_json::Map<String, Value> = self
            .told
            .iter()
            .map(|(id, it)| (id.clone(), json!([it.state.map(RuleState::as_str), it.severity.map(Severity::as_str)])))
            .collect();
        json!({"format": 1, "files": files, "told": told, "exceptions": exceptions::encode(&self.exceptions), "suspended": self.suspended, "lateness_ms": self.settings.lateness.as_millis() as u64,
               "first_match": self.settings.is_first_match})
        .to_string()
    }

    fn decode(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let file = |it: &Value| Some(RuleFile { name: it[0].as_str()?.to_owned(), text: it[1].as_str()?.to_owned() });
        let files = value["files"].as_array()?.iter().map(file).collect::<Option<_>>()?;
        let setting = |it: &Value| RuleSetting {
            state: it[0].as_str().and_then(RuleState::from_word),
            severity: it[1].as_str().and_then(Severity::from_word),
        };
        let told = value["told"].as_object()?.iter().map(|(id, it)| (id.clone(), setting(it))).collect();
        let settings = EngineSettings {
            lateness: std::time::Duration::from_millis(value["lateness_ms"].as_u64()?),
            is_first_match: value["first_match"].as_bool()?,
            routing: Routing::Lenient,
            ..EngineSettings::default()
        };
        let exceptions = exceptions::decode(&value["exceptions"])?;
        // Sets that were kept before rules could be suspended do not say it.
        let suspended = value["suspended"].as_array().into_iter().flatten();
        let suspended = suspended.map(|it| it.as_str().map(str::to_owned)).collect::<Option<_>>()?;
        Some(Self { files, told, exceptions, suspended, policy: Policy::default(), settings })
    }
}

/// The rule files below a folder. Links are not followed: nothing outside of the folder is read.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unusable = |error: std::io::Error| {
        Failure::unusable(format!("the rules in `{}` cannot be read: {error}", folder.display()))
    };
    for entry in fs::read_dir(folder).map_err(unusable)? {
        let entry = entry.map_err(unusable)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(unusable)?);
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            collect(&path, found)?;
        } else if kind.is_file() && (name.ends_with(".yml") || name.ends_with(".yaml")) && !name.ends_with(".test.yml")
        {
            found.push(path);
        }
        if FILES_MAX < found.len() {
            return Err(Failure::unusable(format!("`{}` has more than {FILES_MAX} rule files", folder.display())));
        }
    }
    Ok(())
}

/// Reads a rule file; one that cannot be read becomes one that cannot be parsed, and is complained of with the others.
fn read_file(path: &Path) -> RuleFile {
    let name = path.display().to_string();
    let is_small = fs::metadata(path).is_ok_and(|it| it.len() <= FILE_BYTES_MAX);
    let text = if is_small {
        fs::read_to_string(path).unwrap_or_else(|error| format!("\u{1}{error}"))
    } else {
        "\u{1}larger than 1 MiB".to_owned()
    };
    RuleFile { name, text }
}

/// Whether a text is a good `rules.toml`.
pub(crate) fn check_rules_config(text: &str, shown: &str) -> Result<(), Failure> {
    settings_of(text, shown)?;
    exceptions_of(text, shown).map(drop)
}

/// Reads what `rules.toml` says of rules.
fn settings_of(text: &str, shown: &str) -> Result<BTreeMap<String, RuleSetting>, Failure> {
    let bad = |message: String| Failure::usage(format!("`{shown}`: {message}"));
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| bad(format!("this is no TOML: {error}")))?;
    let mut settings = BTreeMap::new();
    for (section, value) in table.iter().filter(|it| it.0 != SECTION && it.0 != actions::SECTION) {
        let rules = value.as_table().filter(|_| section == "rule").ok_or_else(|| {
            bad(format!("there is no section `{section}`; write `[rule.ID]`, `[default]` or `[[exception]]`"))
        })?;
        for (id, keys) in rules {
            let keys =
                keys.as_table().ok_or_else(|| bad(format!("`rule.{id}` must be a section: write `[rule.{id}]`")))?;
            let mut setting = RuleSetting::default();
            for (key, value) in keys {
                let word = value.as_str().unwrap_or_default();
                match key.as_str() {
                    "state" => {
                        let wanted = || {
                            bad(format!(
                                "`state` of `{id}` is `{}`, and must be \"on\", \"shadow\" or \"off\"",
                                shown_value(value)
                            ))
                        };
                        setting.state = Some(RuleState::from_word(word).ok_or_else(wanted)?);
                    }
                    "severity" => {
                        let wanted = || {
                            bad(format!(
                                "`severity` of `{id}` is `{}`, and must be informational, low, medium, high or critical",
                                shown_value(value)
                            ))
                        };
                        setting.severity = Some(Severity::from_word(word).ok_or_else(wanted)?);
                    }
                    "action" | "for" => {}
                    other => {
                        let known = "`state`, `severity`, `action` and `for`";
                        return Err(bad(format!("`rule.{id}` has no key `{other}`; there are {known}")));
                    }
                }
            }
            settings.insert(id.clone(), setting);
        }
    }
    Ok(settings)
}

/// The sets of the present process and, in the data folder, of those before.
pub(crate) struct Shelf {
    folder: PathBuf,
    known: Mutex<HashMap<String, Arc<Rules>>>,
}

impl Shelf {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, known: Mutex::default() }
    }

    /// Keeps a set, so that it is found by its digest in this process and in later ones.
    pub(crate) fn keep(&self, rules: &Arc<Rules>, sources: &Sources) -> Result<(), Failure> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(rules.digest.clone(), rules.clone());
        let path = self.folder.join(format!("{}.json", rules.digest));
        if !path.exists() {
            Folder::write_private(&path, &sources.encode())?;
            self.forget_old();
        }
        Ok(())
    }

    /// Finds a set by its digest.
    pub(crate) fn find(&self, digest: &str) -> Option<Arc<Rules>> {
        if let Some(rules) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(digest) {
            return Some(rules.clone());
        }
        if !digest.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        let text = fs::read_to_string(self.folder.join(format!("{digest}.json"))).ok()?;
        let (rules, ..) = Sources::decode(&text)?.compile();
        // A later version may compile the same text to something else; then it is not what was in force.
        (rules.digest == digest).then(|| Arc::new(rules))
    }

    fn forget_old(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<_> = entries
            .filter_map(|it| Some((it.as_ref().ok()?.metadata().ok()?.modified().ok()?, it.ok()?.path())))
            .collect();
        files.sort();
        for (_, path) in files.iter().rev().skip(KEPT_MAX) {
            // What cannot be removed stays until the next time.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_rule_compiles_and_every_default_names_one() {
        let selection = Selection {
            has_shipped: true,
            folders: Vec::new(),
            rules_config: None,
            rules_config_later: None,
            settings: EngineSettings::default(),
        };
        let sources = selection.read().unwrap();
        let (rules, errors, complaints) = sources.compile();
        assert_eq!((errors, complaints), (vec![], vec![]));
        assert!(20 <= rules.active(), "{}", rules.active());
        let (again, ..) = Sources::decode(&sources.encode()).unwrap().compile();
        assert_eq!(again.digest, rules.digest);

        let text = "[[exception]]\nfinding = \"sqli\"\nreason = \"x\"\n";
        let except = Sources { exceptions: exceptions_of(text, "rules.toml").unwrap(), ..sources };
        let (other, again) = (except.compile().0, Sources::decode(&except.encode()).unwrap().compile().0);
        assert_eq!((other.digest == rules.digest, &again.digest), (false, &other.digest));
        assert_eq!(again.exceptions().list(), except.exceptions.list());

        let known = except.compile().0.set.rules()[0].header.key().to_owned();
        let less = Sources { suspended: [known.clone(), "no such rule".to_owned()].into(), ..except };
        let (rules, again) = (less.compile().0, Sources::decode(&less.encode()).unwrap().compile().0);
        assert_eq!((rules.digest == other.digest, &again.digest), (false, &rules.digest));
        assert_eq!(rules.suspended.into_iter().collect::<Vec<_>>(), [known]);
    }

    #[test]
    fn a_bad_rules_toml_names_file_rule_and_key() {
        for (text, named) in [
            ("[rule.a]\nstate = \"perhaps\"\n", "state"),
            ("[rule.a]\ncolour = 1\n", "colour"),
            ("[rules]\n", "rules"),
            ("[rule]\na = 1\n", "rule.a"),
            ("[rule.a\n", "TOML"),
        ] {
            let failure = settings_of(text, "x/rules.toml").unwrap_err();
            assert!(failure.message.contains("x/rules.toml") && failure.message.contains(named), "{}", failure.message);
        }
    }
}
