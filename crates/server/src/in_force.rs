//! The rules in force: announced in the log at a start and at each change, so that a replay meets them at the same place.
//!
//! What cannot be announced, on a disk that is full, is not in force: detection goes on with the rules before, and the
//! announcement is tried again until there is room.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backends::log::Log;
use detection::rules::Rules;
use gateway::gateway::Gateway;
use pipeline::actions::Actions;
use pipeline::detect::announce_rules;
use pipeline::ingest::chain;

use crate::ruleset::{Selection, Shelf, Sources};

/// How many rules are in force, for the page.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) rules: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Whether the rules that were read are not in force yet.
    pub(crate) is_waiting: AtomicBool,
}

/// The rules in force, where they come from, and who must know of them.
#[derive(Clone)]
pub(crate) struct InForce {
    pub(crate) selection: Selection,
    pub(crate) shelf: Arc<Shelf>,
    /// The set that was read last and has no fault.
    pub(crate) rules: Arc<Rules>,
    /// What that set was made of, while it is not announced.
    pub(crate) waiting: Option<Arc<Sources>>,
    pub(crate) actions: Arc<Actions>,
    pub(crate) gateway: Option<Arc<Gateway>>,
}

impl InForce {
    /// Announces the rules of a start. Where that cannot be done now they wait, and those before stay in force.
    pub(crate) fn announced(mut self, log: &dyn Log, loaded: &Loaded) -> Self {
        let Some(sources) = self.waiting.clone() else { return self };
        match self.announce(log, &self.rules, &sources) {
            Ok(()) => self.waiting = None,
            Err(reason) => {
                tracing::error!(%reason, "The rules cannot be written down; those before stay in force until they can");
            }
        }
        loaded.is_waiting.store(self.waiting.is_some(), Ordering::Relaxed);
        self
    }

    /// Keeps a set for later processes, and writes into the log that it is in force from here on.
    fn announce(&self, log: &dyn Log, rules: &Arc<Rules>, sources: &Sources) -> Result<(), String> {
        self.shelf.keep(rules, sources).map_err(|it| it.message)?;
        announce_rules(log, rules).map_err(|it| chain(&it))
    }

    /// Announces what waits, if it can be announced by now; otherwise reads the rules again. Returns the set that came into
    /// force, one without a fault.
    pub(crate) fn read_again(&self, log: &dyn Log, loaded: &Loaded) -> Option<Arc<Rules>> {
        if let Some(sources) = &self.waiting
            && self.announce(log, &self.rules, sources).is_ok()
        {
            tracing::info!(digest = %self.rules.digest, "The rules that waited are written down");
            loaded.is_waiting.store(false, Ordering::Relaxed);
            return Some(self.rules.clone());
        }
        let rules = self.read_changed(log)?;
        loaded.rules.store(rules.active() as u64, Ordering::Relaxed);
        loaded.refused.store(0, Ordering::Relaxed);
        loaded.is_waiting.store(false, Ordering::Relaxed);
        if let Some(gateway) = &self.gateway {
            gateway.except(rules.exceptions().clone());
        }
        Some(rules)
    }

    /// Reads the rules again; a set that is another and has no fault is announced.
    fn read_changed(&self, log: &dyn Log) -> Option<Arc<Rules>> {
        let sources = match self.selection.read() {
            Ok(it) => it,
            Err(failure) => {
                complain(failure.message);
                return None;
            }
        };
        let (rules, errors, _) = sources.compile();
        let is_same = rules.digest == self.rules.digest;
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
        match self.announce(log, &rules, &sources) {
            Ok(()) => Some(rules),
            Err(reason) => {
                complain(reason);
                None
            }
        }
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
