//! Which proposals become decisions, and what holds the others back.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use model::decision::{Brake, DecisionId, Origin, Proposal, Standing, Target};
use model::network::Network;
use model::time::Timestamp;

use crate::set::DecisionSet;
use crate::spared::SparedList;

/// For how long a decision weighs on the share of clients.
pub const SHARE_SPAN: Duration = Duration::from_secs(3600);
/// The span of the rate.
pub const RATE_SPAN: Duration = Duration::from_secs(60);

/// Whether decisions of machines are enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They only count; how a new installation begins.
    #[default]
    DryRun,
    /// They are enforced.
    Live,
}

impl Mode {
    /// The word of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::Live => "live",
        }
    }

    /// Reads the word of the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::DryRun, Self::Live].into_iter().find(|it| it.as_str() == word)
    }
}

/// How hard the brakes are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brakes {
    /// How many new targets machines may decide on in a minute.
    pub per_minute: u32,
    /// Which part of the clients of an hour they may decide on in it, `0.0..=1.0`.
    pub share: f64,
    /// How many they may always decide on in an hour.
    pub share_min: u32,
    /// The shortest prefix of an IPv4 range that they may decide on.
    pub prefix_v4_min: u8,
    /// The shortest prefix of an IPv6 range that they may decide on.
    pub prefix_v6_min: u8,
}

impl Default for Brakes {
    fn default() -> Self {
        Self { per_minute: 100, share: 0.02, share_min: 5, prefix_v4_min: 24, prefix_v6_min: 48 }
    }
}

/// The state of the world when a proposal is judged.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The time.
    pub now: Timestamp,
    /// Whether decisions of machines are enforced.
    pub mode: Mode,
    /// Whether somebody has paused them.
    pub is_paused: bool,
    /// How many different clients came in the last hour.
    pub clients: u64,
}

/// What becomes of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It becomes a decision that stands so.
    Admitted(Standing),
    /// A decision in force does what it asks for, and for about as long.
    Covered(DecisionId),
    /// A person asks to block somebody who is never blocked; this is on the list, and why.
    Spared(Network, String),
}

/// The one place where proposals are admitted.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    brakes: Brakes,
    spared: SparedList,
    /// The targets that machines decided on in the last hour, and when first.
    recent: HashMap<Target, Timestamp>,
    /// The same in order.
    order: VecDeque<(Timestamp, Target)>,
}

impl Admission {
    /// Begins with nothing decided.
    #[must_use]
    pub fn new(brakes: Brakes, spared: SparedList) -> Self {
        Self { brakes, spared, recent: HashMap::new(), order: VecDeque::new() }
    }

    /// Takes a new list of who is spared.
    pub fn spare(&mut self, spared: SparedList) {
        self.spared = spared;
    }

    /// Who is spared.
    #[must_use]
    pub const fn spared(&self) -> &SparedList {
        &self.spared
    }

    /// Counts a decision of a machine that was made before this process began.
    pub fn remember(&mut self, target: &Target, at: Timestamp) {
        if self.recent.insert(target.clone(), at).is_none() {
            self.order.push_back((at, target.clone()));
        }
    }

    /// Judges a proposal; what is admitted counts for the brakes. `known` is who in its target is spared beside those on the
    /// list, and why: whoever was found to be a crawler.
    pub fn judge(
        &mut self,
        proposal: &Proposal,
        known: Option<(Network, String)>,
        set: &DecisionSet,
        circumstances: Circumstances,
    ) -> Verdict {
        let Circumstances { now, mode, .. } = circumstances;
        if !proposal.origin.is_automatic() {
            // A person, and an import that a person began, overrides every brake but this.
            let again = || (proposal.origin == Origin::Import).then(|| covering(proposal, set, now)).flatten();
            let listed = self.spared.why(&proposal.target).map(|(network, why)| (network, why.to_string()));
            return match (listed.or(known), again()) {
                (Some((network, why)), _) => Verdict::Spared(network, why),
                // A list that is imported again, after it broke off or as it grows, doubles nothing.
                (None, Some(covering)) => Verdict::Covered(covering),
                (None, None) => Verdict::Admitted(Standing::InForce),
            };
        }
        if let Some(covering) = covering(proposal, set, now) {
            return Verdict::Covered(covering);
        }
        self.forget(now);
        if let Some(brake) = self.brake(proposal, known.is_some(), circumstances) {
            return Verdict::Admitted(Standing::Held(brake));
        }
        self.remember(&proposal.target, now);
        let is_dry = mode == Mode::DryRun || proposal.is_synthetic;
        Verdict::Admitted(if is_dry { Standing::DryRun } else { Standing::InForce })
    }

    fn brake(&self, proposal: &Proposal, is_known: bool, circumstances: Circumstances) -> Option<Brake> {
        if is_known || self.spared.why(&proposal.target).is_some() {
            return Some(Brake::NeverBlock);
        }
        if circumstances.is_paused {
            return Some(Brake::Paused);
        }
        if proposal.is_spoofable {
            return Some(Brake::Spoofable);
        }
        if proposal.target.network().is_some_and(|it| self.is_wide(it)) {
            return Some(Brake::Width);
        }
        // Who was decided on already is no further victim of a mistake.
        if self.recent.contains_key(&proposal.target) {
            return None;
        }
        let minute = circumstances.now.minus(RATE_SPAN);
        let in_minute = self.order.len() - self.order.partition_point(|it| it.0 <= minute);
        if self.brakes.per_minute as usize <= in_minute {
            return Some(Brake::Rate);
        }
        let share = (circumstances.clients as f64 * self.brakes.share).floor() as usize;
        (share.max(self.brakes.share_min as usize) <= self.recent.len()).then_some(Brake::Share)
    }

    fn is_wide(&self, network: &Network) -> bool {
        let min = if network.address().is_ipv4() { self.brakes.prefix_v4_min } else { self.brakes.prefix_v6_min };
        network.prefix() < min
    }

    fn forget(&mut self, now: Timestamp) {
        let oldest = now.minus(SHARE_SPAN);
        while let Some((at, target)) = self.order.front()
            && *at <= oldest
        {
            self.recent.remove(target);
            self.order.pop_front();
        }
    }
}

/// The decision in force that does what a proposal asks for, and ends no more than a tenth of its time earlier.
fn covering(proposal: &Proposal, set: &DecisionSet, now: Timestamp) -> Option<DecisionId> {
    let enough = now.plus(proposal.lasts - proposal.lasts / 10);
    let of_target = set.of_target(&proposal.target, now);
    of_target.filter(|it| proposal.measure <= it.measure && enough <= it.until).map(|it| it.id).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{NOON, after, ban, proposal, target};

    fn live(seconds: u64, clients: u64) -> Circumstances {
        Circumstances { now: after(seconds), mode: Mode::Live, is_paused: false, clients }
    }

    fn admission() -> Admission {
        let mut spared = SparedList::of_local();
        spared.add(Network::parse("203.0.113.9").unwrap(), "the monitor");
        Admission::new(Brakes::default(), spared)
    }

    #[track_caller]
    fn check(proposal: &Proposal, circumstances: Circumstances, expected: Standing) {
        let verdict = admission().judge(proposal, None, &DecisionSet::default(), circumstances);
        assert_eq!(verdict, Verdict::Admitted(expected), "{proposal:?}");
    }

    fn address(number: u32) -> Proposal {
        proposal(&std::net::Ipv4Addr::from(0xcb00_7200 + number).to_string())
    }

    #[test]
    fn each_brake_holds_what_it_is_for() {
        let plain = proposal("198.51.100.7");
        check(&plain, live(0, 1000), Standing::InForce);
        check(&plain, Circumstances { mode: Mode::DryRun, ..live(0, 1000) }, Standing::DryRun);
        check(&Proposal { is_synthetic: true, ..plain.clone() }, live(0, 1000), Standing::DryRun);
        check(&plain, Circumstances { is_paused: true, ..live(0, 1000) }, Standing::Held(Brake::Paused));
        let spoofable = Proposal { is_spoofable: true, ..plain };
        check(&spoofable, live(0, 1000), Standing::Held(Brake::Spoofable));
        for (text, held) in [
            ("203.0.113.9", Some(Brake::NeverBlock)),
            ("203.0.113.0/24", Some(Brake::NeverBlock)),
            ("10.0.0.1", Some(Brake::NeverBlock)),
            ("198.51.100.0/24", None),
            ("198.51.100.0/23", Some(Brake::Width)),
            ("2001:db8:1::/48", None),
            ("2001:db8::/47", Some(Brake::Width)),
        ] {
            check(&proposal(text), live(0, 1000), held.map_or(Standing::InForce, Standing::Held));
        }
    }

    #[test]
    fn whoever_asks_the_spared_are_spared_and_a_person_overrides_the_other_brakes() {
        let by_hand = |it: &str| Proposal { origin: Origin::Manual, is_spoofable: true, ..proposal(it) };
        let paused = Circumstances { is_paused: true, mode: Mode::DryRun, ..live(0, 0) };
        check(&by_hand("198.51.0.0/16"), paused, Standing::InForce);
        for origin in Origin::ALL {
            let verdict =
                admission().judge(&Proposal { origin, ..proposal("127.0.0.1") }, None, &DecisionSet::default(), paused);
            let expected = if origin.is_automatic() {
                Verdict::Admitted(Standing::Held(Brake::NeverBlock))
            } else {
                Verdict::Spared(Network::parse("127.0.0.0/8").unwrap(), "a local address".to_owned())
            };
            assert_eq!(verdict, expected, "{origin:?}");
        }
    }

    #[track_caller]
    fn held_of(count: u32, circumstances: impl Fn(u32) -> Circumstances) -> Vec<Option<Brake>> {
        let (mut admission, set) = (admission(), DecisionSet::default());
        let held = (0..count).map(|it| match admission.judge(&address(it), None, &set, circumstances(it)) {
            Verdict::Admitted(Standing::Held(brake)) => Some(brake),
            _ => None,
        });
        held.collect()
    }

    #[test]
    fn a_hundred_a_minute_and_no_more() {
        let held = held_of(102, |_| live(0, 1_000_000));
        assert!(held[..100].iter().all(Option::is_none));
        assert_eq!(held[100..], [Some(Brake::Rate), Some(Brake::Rate)]);
        let spread = held_of(300, |it| live(u64::from(it), 1_000_000));
        assert!(spread.iter().all(Option::is_none));
    }

    #[test]
    fn two_percent_of_the_clients_of_an_hour_and_always_five() {
        for (clients, allowed) in [(0, 5), (100, 5), (299, 5), (300, 6), (1000, 20)] {
            let held = held_of(allowed + 1, |it| live(u64::from(it), clients));
            assert!(held[..allowed as usize].iter().all(Option::is_none), "{clients}");
            assert_eq!(held[allowed as usize], Some(Brake::Share), "{clients}");
        }
        // An hour later there is room again.
        let later = held_of(6, |it| live(if it < 5 { 0 } else { 3600 }, 0));
        assert_eq!(later[5], None);
    }

    #[test]
    fn who_was_decided_on_before_is_no_further_victim() {
        let (mut admission, set) = (admission(), DecisionSet::default());
        (0..5).for_each(|it| admission.remember(&address(it).target, NOON));
        let verdict = |admission: &mut Admission, it| admission.judge(&address(it), None, &set, live(1, 0));
        assert_eq!(verdict(&mut admission, 3), Verdict::Admitted(Standing::InForce));
        assert_eq!(verdict(&mut admission, 9), Verdict::Admitted(Standing::Held(Brake::Share)));
    }

    #[test]
    fn what_adds_nothing_is_no_decision_of_its_own() {
        let mut set = DecisionSet::default();
        set.apply(&ban(4, "198.51.100.7", 3600), NOON);
        let judge = |seconds| admission().judge(&proposal("198.51.100.7"), None, &set, live(seconds, 1000));
        assert_eq!(judge(0), Verdict::Covered(DecisionId(4)));
        assert_eq!(judge(360), Verdict::Covered(DecisionId(4)));
        assert_eq!(judge(361), Verdict::Admitted(Standing::InForce));
        assert_eq!(set.of_target(&target("198.51.100.7"), NOON).count(), 1);
    }
}
