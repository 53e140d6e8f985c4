//! The rules in force: the compiled Sigma set with what `rules.toml` says of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use attack::exception::Exceptions;
use model::severity::Severity;
use sha2::{Digest, Sha256};
use sigma::document::{Document, parse};
use sigma::error::RuleError;
use sigma::header::{Header, Level, Status};
use sigma::routing::Routing;
use sigma::rule_set::RuleSet;

use crate::fields::Accessors;
use crate::snapshot::{Decoder, Encoder};

/// What a rule does when it fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleState {
    /// It raises alerts.
    #[default]
    On,
    /// It is counted, and raises nothing.
    Shadow,
    /// It does nothing.
    Off,
}

impl RuleState {
    /// Reads the word of `rules.toml`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "on" => Some(Self::On),
            "shadow" => Some(Self::Shadow),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    /// The word of `rules.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// What `rules.toml` says of one rule; nothing where it is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleSetting {
    /// What the rule does.
    pub state: Option<RuleState>,
    /// How bad its alerts are.
    pub severity: Option<Severity>,
}

/// What alerts say of the rule that raised them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// The public id.
    pub id: String,
    /// A digest of what it detects.
    pub version: String,
    /// What a person reads first.
    pub title: String,
    /// The kind of its alerts.
    pub kind: String,
    /// How bad it is if true.
    pub severity: Severity,
    /// How sure we are, `0..=100`.
    pub confidence: u8,
    /// What it finds and why that matters.
    pub description: String,
    /// A sentence on one alert, with `{count}` and `{entity}`.
    pub details: Option<String>,
    /// What it does.
    pub state: RuleState,
    /// For a correlation: what completes it, in words.
    pub condition: Option<String>,
    /// For another tool's rule: the input that its alerts came through. Their number is bounded for all of it.
    pub input: Option<String>,
}

impl RuleInfo {
    /// Makes the info of something that is no Sigma rule.
    #[must_use]
    pub fn built_in(id: &str, title: &str, kind: &str, severity: Severity, description: &str) -> Self {
        Self {
            id: id.to_owned(),
            version: "built-in".to_owned(),
            title: title.to_owned(),
            kind: kind.to_owned(),
            severity,
            confidence: 80,
            description: description.to_owned(),
            details: None,
            state: RuleState::On,
            condition: None,
            input: None,
        }
    }

    /// Makes the info of another tool's rule, as one of its alerts gives it.
    #[must_use]
    pub fn of_finding(input: &str, id: &str, title: &str, kind: &str, severity: Severity) -> Self {
        let info = Self::built_in(id, title, kind, severity, "An alert of another tool.");
        Self { version: "finding".to_owned(), input: Some(input.to_owned()), ..info }
    }

    /// The name under which its new alerts are counted and bounded.
    #[must_use]
    pub fn bounded_as(&self) -> String {
        self.input.as_ref().map_or_else(|| self.id.clone(), |it| format!("finding:{it}"))
    }

    /// What raises the one alert for all that are too many.
    #[must_use]
    pub fn of_many(self: &Arc<Self>) -> Arc<Self> {
        match &self.input {
            None => self.clone(),
            Some(input) => {
                let (id, title) = (format!("{input}/many"), "Very many alerts of other tools");
                Arc::new(Self::of_finding(input, &id, title, "finding", self.severity))
            }
        }
    }

    /// Writes what [`Self::of_finding`] was given.
    pub fn encode(&self, out: &mut Encoder) {
        let input = self.input.as_deref().unwrap_or_default();
        [input, &self.id, &self.title, &self.kind].into_iter().for_each(|it| out.text(it));
        out.u64(u64::from(self.severity.rank()));
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let (input, id, title, kind) = (from.text()?, from.text()?, from.text()?, from.text()?);
        Some(Self::of_finding(&input, &id, &title, &kind, Severity::from_rank(from.u64()? as u8)?))
    }
}

/// One file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Its name, for complaints.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Settings of the engine that change what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// How late an event may be for a window.
    pub lateness: Duration,
    /// How a rule's logsource is held against an event's.
    pub routing: Routing,
    /// Whether the first single-event rule that fires ends the list, in the order of severity and then id.
    pub is_first_match: bool,
    /// How many new alerts a rule raises in one bucket before further entities are folded into one.
    pub alerts_per_bucket_max: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            lateness: Duration::from_secs(120),
            routing: Routing::Lenient,
            is_first_match: false,
            alerts_per_bucket_max: 2000,
        }
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Rules {
    /// The compiled set.
    pub set: RuleSet,
    /// Where the values of its fields come from.
    pub accessors: Accessors,
    /// What alerts say of each rule; in the order of the set.
    pub rules: Vec<Arc<RuleInfo>>,
    /// What alerts say of each correlation; in the order of the set.
    pub correlations: Vec<Arc<RuleInfo>>,
    /// For each rule the correlations that it belongs to.
    pub memberships: Vec<Vec<u32>>,
    /// The correlations with a reset that are not off.
    pub resetting: Vec<u32>,
    /// The ids of the rules over single events that are not evaluated because they cost too much.
    pub suspended: BTreeSet<String>,
    /// The settings of the engine.
    pub settings: EngineSettings,
    /// A digest of all of it: what is equal detects the same.
    pub digest: String,
}

impl Rules {
    /// Compiles files to rules; what cannot be read is listed and left out.
    #[must_use]
    pub fn compile(
        files: &[RuleFile],
        told: &BTreeMap<String, RuleSetting>,
        settings: EngineSettings,
    ) -> (Self, Vec<RuleError>) {
        let mut errors = Vec::new();
        let mut documents: Vec<Document> = Vec::new();
        for file in files {
            let (found, refused) = parse(&file.name, &file.text);
            documents.extend(found);
            errors.extend(refused);
        }
        let (set, refused) = RuleSet::compile(documents);
        errors.extend(refused);
        let info = |header: &Header, version: &str, condition| Arc::new(info_of(header, version, condition, told));
        let rules: Vec<_> = set.rules().iter().map(|it| info(&it.header, &it.version, None)).collect();
        let correlations: Vec<_> = set
            .correlations()
            .iter()
            .map(|it| {
                let condition =
                    format!("at least {} in {} s", it.correlation.at_least, it.correlation.timespan.as_secs_f64());
                info(&it.correlation.header, &it.version, Some(condition))
            })
            .collect();
        let mut memberships = vec![Vec::new(); rules.len()];
        for (number, correlation) in set.correlations().iter().enumerate() {
            if correlations[number].state != RuleState::Off {
                correlation.rules.iter().for_each(|it| memberships[it.0 as usize].push(number as u32));
            }
        }
        let has_reset = |it: &u32| {
            let header = &set.correlations()[*it as usize].correlation.header;
            header.extension.reset.is_some() && correlations[*it as usize].state != RuleState::Off
        };
        let resetting = (0..correlations.len() as u32).filter(has_reset).collect();
        let digest = digest_of(&rules, &correlations, &settings);
        let accessors = Accessors::of(set.field_names());
        let suspended = BTreeSet::new();
        (Self { accessors, rules, correlations, memberships, resetting, suspended, settings, digest, set }, errors)
    }

    /// Leaves out the rules over single events with these ids; they are part of the digest. Ids of other rules change nothing.
    #[must_use]
    pub fn without(mut self, suspended: &BTreeSet<String>) -> Self {
        let known = self.set.rules().iter().map(|it| it.header.key()).filter(|it| suspended.contains(*it));
        let known: BTreeSet<String> = known.map(str::to_owned).collect();
        if !known.is_empty() {
            self.digest = short_digest(Sha256::new_with_prefix(format!("{} without {known:?}", self.digest)));
            self.set.suspend(|it| known.contains(it.header.key()));
            self.suspended.extend(known);
        }
        self
    }

    /// Takes exceptions to inspection into force with the rules; they are part of the digest.
    #[must_use]
    pub fn with_exceptions(mut self, exceptions: Exceptions) -> Self {
        if !exceptions.is_empty() {
            let drafts: Vec<_> = exceptions.list().iter().map(|it| it.draft()).collect();
            self.digest = short_digest(Sha256::new_with_prefix(format!("{} {drafts:?}", self.digest)));
        }
        self.accessors.except(Arc::new(exceptions));
        self
    }

    /// The exceptions to inspection in force.
    #[must_use]
    pub const fn exceptions(&self) -> &Arc<Exceptions> {
        self.accessors.exceptions()
    }

    /// How many rules raise alerts or are counted.
    #[must_use]
    pub fn active(&self) -> usize {
        let own = self
            .set
            .rules()
            .iter()
            .zip(&self.rules)
            .filter(|(rule, info)| rule.raises_alerts && info.state != RuleState::Off)
            .filter(|(_, info)| !self.suspended.contains(&info.id));
        own.count() + self.correlations.iter().filter(|it| it.state != RuleState::Off).count()
    }
}

fn info_of(
    header: &Header,
    version: &str,
    condition: Option<String>,
    told: &BTreeMap<String, RuleSetting>,
) -> RuleInfo {
    let id = header.key().to_owned();
    let told = told.get(&id).copied().unwrap_or_default();
    let by_status = match header.status {
        Some(Status::Stable) => 80,
        Some(Status::Test) => 60,
        _ => 40,
    };
    RuleInfo {
        version: version.to_owned(),
        title: header.title.clone(),
        kind: header.extension.alert_type.clone().unwrap_or_else(|| id.clone()),
        severity: told.severity.unwrap_or(severity_of(header.level)),
        confidence: header.extension.confidence.unwrap_or(by_status),
        description: header.description.clone().unwrap_or_default(),
        details: header.extension.details.clone(),
        state: told.state.unwrap_or_default(),
        condition,
        id,
        input: None,
    }
}

const fn severity_of(level: Option<Level>) -> Severity {
    match level {
        Some(Level::Informational) => Severity::Informational,
        Some(Level::Low) => Severity::Low,
        // A rule that does not say how bad it is must not be overlooked.
        Some(Level::Medium) | None => Severity::Medium,
        Some(Level::High) => Severity::High,
        Some(Level::Critical) => Severity::Critical,
    }
}

fn digest_of(rules: &[Arc<RuleInfo>], correlations: &[Arc<RuleInfo>], settings: &EngineSettings) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{settings:?}"));
    for info in rules.iter().chain(correlations) {
        hasher.update(format!("{info:?}\n"));
    }
    short_digest(hasher)
}

fn short_digest(hasher: Sha256) -> String {
    let full = hasher.finalize();
    full[..16].iter().map(|it| format!("{it:02x}")).collect()
}
