//! From new alerts to proposals: what `rules.toml` says is done, and whether what it rests on can be trusted.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use decision::policy::{Circumstances, Policy};
use detection::engine::AlertChange;
use model::alert::Alert;
use model::decision::Proposal;
use model::event::TextField;
use model::place::Sequence;
use model::time::Timestamp;

use crate::hydrate::EventSource;

/// What is done about new alerts.
#[derive(Debug, Default)]
pub struct Actions {
    policy: RwLock<Arc<Policy>>,
    /// The inputs through which anybody may claim any address.
    spoofable: BTreeSet<String>,
}

impl Actions {
    /// Begins with a policy; events of the inputs `spoofable` alone lead to no block.
    #[must_use]
    pub fn new(policy: Policy, spoofable: BTreeSet<String>) -> Self {
        Self { policy: RwLock::new(Arc::new(policy)), spoofable }
    }

    /// Takes another policy, for alerts from now on.
    pub fn set_policy(&self, policy: Policy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the proposals that follow from alerts which are new.
    pub(crate) fn proposals(
        &self,
        alerts: &[Alert],
        changes: &[AlertChange],
        rules_digest: &str,
        now: Timestamp,
        events: &mut impl EventSource,
    ) -> Vec<Proposal> {
        let policy = self.policy();
        let new = alerts.iter().zip(changes).filter(|it| it.1.is_new && policy.action(it.0).is_some());
        let mut propose = |(alert, change): (&Alert, &AlertChange)| {
            let (mut user_agent, mut is_spoofable) = (String::new(), false);
            for (number, event) in change.counted.evidence.iter().enumerate() {
                let mut is_there = false;
                events.with_event(Sequence(event.sequence), &mut |view| {
                    is_there = true;
                    if number == 0 {
                        view.text(TextField::UserAgent).unwrap_or_default().clone_into(&mut user_agent);
                    }
                    let input = view.text(TextField::Input).unwrap_or_default();
                    is_spoofable |= self.spoofable.contains(input);
                });
                // Nobody knows any more where it came from.
                is_spoofable |= !is_there && !self.spoofable.is_empty();
            }
            policy.propose(alert, Circumstances { rules_digest, user_agent: &user_agent, is_spoofable })
        };
        // It lasts from the last event on: who did something long ago is not kept out today for it.
        let mut aged = |(alert, change): (&Alert, &AlertChange)| {
            let mut proposal = propose((alert, change))?;
            proposal.lasts = proposal.lasts.checked_sub(now.since(alert.last_seen)).filter(|it| !it.is_zero())?;
            Some(proposal)
        };
        new.filter_map(&mut aged).collect()
    }

    /// Whether anybody may claim any address through an input.
    pub(crate) fn is_spoofable(&self, input: &str) -> bool {
        self.spoofable.contains(input)
    }
}
