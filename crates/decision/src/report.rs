//! What would have been blocked: the report by which a person dares to go live.

use std::collections::BTreeMap;

use model::decision::{Brake, Decision, Standing};

/// A group of targets that have the same reason or the same user agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The rule or the user agent.
    pub name: String,
    /// How many targets.
    pub targets: usize,
    /// Some of them.
    pub samples: Vec<String>,
}

/// What would have been blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many targets.
    pub targets: usize,
    /// How many decisions; more than targets when somebody came again.
    pub decisions: usize,
    /// The targets by rule, most first.
    pub rules: Vec<Group>,
    /// The targets by the user agent of what they did, most first: a monitor shows here.
    pub user_agents: Vec<Group>,
    /// How many a brake held, by brake.
    pub held: Vec<(Brake, usize)>,
}

/// How many samples a group shows.
const SAMPLES: usize = 3;

impl Report {
    /// Makes the report of decisions; those in force and by hand are passed over.
    #[must_use]
    pub fn of<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Self {
        let mut report = Self::default();
        let (mut targets, mut rules, mut agents) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut held: BTreeMap<Brake, usize> = BTreeMap::new();
        for decision in decisions {
            match decision.standing {
                Standing::DryRun if !decision.is_synthetic => {}
                Standing::Held(brake) => {
                    *held.entry(brake).or_default() += 1;
                    continue;
                }
                _ => continue,
            }
            report.decisions += 1;
            let target = decision.target.to_string();
            targets.insert(target.clone(), ());
            let agent = if decision.basis.user_agent.is_empty() { "(none)" } else { &decision.basis.user_agent };
            group(&mut rules, &decision.basis.rule_id, &target);
            group(&mut agents, agent, &target);
        }
        report.targets = targets.len();
        report.rules = ranked(rules);
        report.user_agents = ranked(agents);
        report.held = held.into_iter().collect();
        report
    }
}

type Groups = BTreeMap<String, BTreeMap<String, ()>>;

fn group(groups: &mut Groups, name: &str, target: &str) {
    groups.entry(name.to_owned()).or_default().insert(target.to_owned(), ());
}

fn ranked(groups: Groups) -> Vec<Group> {
    let mut ranked: Vec<Group> = groups
        .into_iter()
        .map(|(name, targets)| Group {
            name,
            targets: targets.len(),
            samples: targets.into_keys().take(SAMPLES).collect(),
        })
        .collect();
    ranked.sort_by_key(|it| std::cmp::Reverse(it.targets));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::ban;

    #[test]
    fn it_counts_targets_once_and_shows_who_they_are() {
        let dry = |id: u64, text: &str, agent: &str| {
            let mut decision = Decision { standing: Standing::DryRun, ..ban(id, text, 60) };
            agent.clone_into(&mut decision.basis.user_agent);
            decision
        };
        let held = Decision { standing: Standing::Held(Brake::Share), ..ban(5, "203.0.113.5", 60) };
        let decisions = [
            dry(1, "203.0.113.1", "Uptime/2.0"),
            dry(2, "203.0.113.1", "Uptime/2.0"),
            dry(3, "203.0.113.2", "Uptime/2.0"),
            dry(4, "203.0.113.3", ""),
            held,
            ban(6, "203.0.113.6", 60),
            Decision { is_synthetic: true, ..dry(7, "203.0.113.7", "demo") },
        ];
        let report = Report::of(&decisions);
        assert_eq!((report.targets, report.decisions), (3, 4));
        let agents: Vec<_> = report.user_agents.iter().map(|it| (it.name.as_str(), it.targets)).collect();
        assert_eq!(agents, [("Uptime/2.0", 2), ("(none)", 1)]);
        assert_eq!(report.rules[0].samples, ["203.0.113.1", "203.0.113.2", "203.0.113.3"]);
        assert_eq!(report.held, [(Brake::Share, 1)]);
    }
}
