//! From new alerts to proposals: what `rules.toml` says is done, and whether what it rests on can be trusted.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use decision::policy::{Circumstances, Policy};
use detection::engine::AlertChange;
use model::alert::Alert;
use model::decision::Proposal;
use model::event::TextField;
use model::place::Sequence;

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
        events: &mut impl EventSource,
    ) -> Vec<Proposal> {
        let policy = self.policy();
        let new = alerts.iter().zip(changes).filter(|it| it.1.is_new && policy.action(it.0).is_some());
        let propose = |(alert, change): (&Alert, &AlertChange)| {
            let (mut user_agent, mut is_spoofable) = (String::new(), false);
            for (number, event) in change.counted.evidence.iter().enumerate() {
                events.with_event(Sequence(event.sequence), &mut |view| {
                    if number == 0 {
                        view.text(TextField::UserAgent).unwrap_or_default().clone_into(&mut user_agent);
                    }
                    let input = view.text(TextField::Input).unwrap_or_default();
                    is_spoofable |= self.spoofable.contains(input);
                });
            }
            policy.propose(alert, Circumstances { rules_digest, user_agent: &user_agent, is_spoofable })
        };
        new.filter_map(propose).collect()
    }
}
