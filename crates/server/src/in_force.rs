//! The rules in force: announced in the log at a start and at each change, so that a replay meets them at the same place.
//!
//! What cannot be announced, on a disk that is full, is not in force: detection goes on with the rules before, and the
//! announcement is tried again until there is room. A rule that costs too much is suspended in the same way: the set without it
//! is announced.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backends::log::Log;
use detection::rules::Rules;
use gateway::gateway::Gateway;
use pipeline::actions::Actions;
use pipeline::detect::announce_rules;
use pipeline::ingest::chain;
use pipeline::progress::Progress;

use crate::ruleset::{Selection, Shelf, Sources};

/// How many rules are in force, for the page.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) rules: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Rules that cost too much.
    pub(crate) suspended: AtomicU64,
    /// Whether the rules that were read are not in force yet.
    pub(crate) is_waiting: AtomicBool,
}

/// The rules in force, where they come from, and who must know of them.
#[derive(Clone)]
pub(crate) struct InForce {
    pub(crate) selection: Selection,
    pub(crate) shelf: Arc<Shelf>,
    /// The set that was taken last.
    pub(crate) rules: Arc<Rules>,
    /// What it is made of.
    pub(crate) sources: Arc<Sources>,
    /// The digest of the set as it was read, with the rules that cost too much.
    pub(crate) read: String,
    /// Whether it is not announced yet, and so not in force.
    pub(crate) is_waiting: bool,
    pub(crate) actions: Arc<Actions>,
    pub(crate) gateway: Option<Arc<Gateway>>,
    pub(crate) loaded: Arc<Loaded>,
}

impl InForce {
    /// Announces the rules of a start. Where that cannot be done now they wait, and those before stay in force.
    pub(crate) fn begun(mut self, log: &dyn Log) -> Self {
        match self.announce(log, &self.rules, &self.sources) {
            Ok(()) => self.is_waiting = false,
            Err(reason) => {
                tracing::error!(%reason, "The rules cannot be written down; those before stay in force until they can");
            }
        }
        self.show();
        self
    }

    /// Looks after the rules: announces those that wait, suspends those that cost too much, and reads them again. Returns what is
    /// in force then when something changed.
    pub(crate) fn tend(&self, log: &dyn Log, progress: &Progress) -> Option<Self> {
        let waited = self.is_waiting.then(|| self.announced_late(log)).flatten();
        let changed = waited.or_else(|| self.with_suspended(log, progress)).or_else(|| self.read_changed(log))?;
        changed.show();
        Some(changed)
    }

    fn announced_late(&self, log: &dyn Log) -> Option<Self> {
        self.announce(log, &self.rules, &self.sources).ok()?;
        tracing::info!(digest = %self.rules.digest, "The rules that waited are written down");
        Some(Self { is_waiting: false, ..self.clone() })
    }

    /// Takes out the rules that detection found to cost too much. What cannot be announced is tried again.
    fn with_suspended(&self, log: &dyn Log, progress: &Progress) -> Option<Self> {
        let dear: BTreeSet<String> = {
            let mut done = progress.done();
            done.dear.retain(|it| it.0 == self.rules.digest);
            done.dear.iter().map(|it| it.1.clone()).collect()
        };
        if dear.is_empty() {
            return None;
        }
        let mut sources = Sources::clone(&self.sources);
        sources.suspended.extend(dear.iter().cloned());
        let rules = Arc::new(sources.compile().0);
        if let Err(reason) = self.announce(log, &rules, &sources) {
            complain(reason);
            return None;
        }
        tracing::error!(rules = ?dear, "Suspended rules that cost too much; they are evaluated no more until rules change");
        Some(Self { rules, sources: Arc::new(sources), is_waiting: false, ..self.clone() })
    }

    /// Reads the rules again; a set that is another and has no fault is announced.
    fn read_changed(&self, log: &dyn Log) -> Option<Self> {
        let sources = match self.selection.read() {
            Ok(it) => it,
            Err(failure) => {
                complain(failure.message);
                return None;
            }
        };
        let (rules, errors, _) = sources.compile();
        let is_same = rules.digest == self.read;
        if is_same || errors.is_empty() {
            self.actions.set_policy(sources.policy.clone());
        }
        if is_same {
            return None;
        }
        if !errors.is_empty() {
            complain(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
            return None;
        }
        let rules = Arc::new(rules);
        if let Err(reason) = self.announce(log, &rules, &sources) {
            complain(reason);
            return None;
        }
        self.loaded.refused.store(0, Ordering::Relaxed);
        if let Some(gateway) = &self.gateway {
            gateway.except(rules.exceptions().clone());
        }
        let read = rules.digest.clone();
        Some(Self { rules, sources: Arc::new(sources), read, is_waiting: false, ..self.clone() })
    }

    /// Keeps a set for later processes, and writes into the log that it is in force from here on.
    fn announce(&self, log: &dyn Log, rules: &Arc<Rules>, sources: &Sources) -> Result<(), String> {
        self.shelf.keep(rules, sources).map_err(|it| it.message)?;
        announce_rules(log, rules).map_err(|it| chain(&it))
    }

    /// Says on the page what was taken.
    fn show(&self) {
        self.loaded.rules.store(self.rules.active() as u64, Ordering::Relaxed);
        self.loaded.suspended.store(self.rules.suspended.len() as u64, Ordering::Relaxed);
        self.loaded.is_waiting.store(self.is_waiting, Ordering::Relaxed);
    }
}

/// Says once why changed rules are not taken.
fn complain(text: String) {
    static COMPLAINED: Mutex<String> = Mutex::new(String::new());
    let mut complained = COMPLAINED.lock().unwrap_or_else(PoisonError::into_inner);
    if *complained != text {
        tracing::error!(reason = %text, "The changed rules are not taken; those before stay in force");
        *complained = text;
    }
}
