//! The decisions in force, found by address and by user, and what changed since somebody last asked.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use model::decision::{Decision, DecisionId, Measure, Origin, Standing, Target};
use model::network::Network;
use model::time::Timestamp;

use crate::network_map::NetworkMap;

/// For how long it is remembered that a decision was in force: who asks less often gets everything anew.
pub const GONE_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How many of those are remembered.
pub const GONE_MAX: usize = 1_000_000;
/// How far behind the last answer the next one begins, so that nothing falls between two clocks.
pub const OVERLAP: Duration = Duration::from_secs(2);

/// What enforcers need of a decision: a fifth of its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: DecisionId,
    /// Whom it is about.
    pub target: Target,
    /// What is done.
    pub measure: Measure,
    /// Who proposed it.
    pub origin: Origin,
    /// The rule, else the reason.
    pub label: Arc<str>,
    /// When it was admitted.
    pub since: Timestamp,
    /// When it ends, or ended.
    pub until: Timestamp,
    /// The number of its last change.
    pub changed: u64,
}

/// Up to where somebody has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the last change.
    pub changed: u64,
    /// When.
    pub at: Timestamp,
}

impl Cursor {
    /// Whether it may have been given before `now`; [`OVERLAP`] is left to clocks that differ.
    #[must_use]
    pub fn is_of_past(&self, now: Timestamp) -> bool {
        self.at.minus(OVERLAP) <= now
    }
}

/// What somebody has to be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// What is in force and new to them; of several about one target and measure the one that ends last.
    pub added: Vec<Arc<Entry>>,
    /// What is in force no longer; never a target and measure that is also in `added` or still in force.
    pub removed: Vec<Arc<Entry>>,
    /// From where to go on.
    pub next: Cursor,
}

/// What somebody sees of the decisions.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Whether nothing is told twice: what was removed once only, without [`OVERLAP`].
    pub is_exact: bool,
    /// Which decisions there are for them.
    pub takes: &'a dyn Fn(&Entry) -> bool,
}

/// Entries by what enforcers tell them apart by.
type ByTarget<'a> = HashMap<(&'a Target, Measure), &'a Arc<Entry>>;

/// The decisions in force.
#[derive(Debug, Default)]
pub struct DecisionSet {
    by_id: HashMap<DecisionId, Arc<Entry>>,
    networks: NetworkMap<Vec<Arc<Entry>>>,
    users: HashMap<String, Vec<Arc<Entry>>>,
    /// By the number of their change: what is new to somebody.
    by_change: BTreeMap<u64, Arc<Entry>>,
    /// By their end.
    ends: BTreeMap<(Timestamp, DecisionId), Arc<Entry>>,
    /// What is over, by when it became so.
    gone: VecDeque<(Timestamp, Arc<Entry>)>,
    /// The same by the number of its last change: what somebody ended is found whatever the clock did meanwhile.
    gone_by_change: BTreeMap<u64, Arc<Entry>>,
    /// Before this time what is over may be forgotten.
    gone_from: Timestamp,
    labels: HashSet<Arc<str>>,
    changed: u64,
}

impl DecisionSet {
    /// Takes a decision as it is now: one that is in force is found from now on, one that is not is found no longer.
    /// The same or an earlier state again changes nothing.
    pub fn apply(&mut self, decision: &Decision, now: Timestamp) {
        self.changed = self.changed.max(decision.changed);
        if let Some(known) = self.by_id.get(&decision.id) {
            if decision.changed <= known.changed {
                return;
            }
            self.take_out(decision.id);
        }
        let is_over = !decision.is_in_force(now);
        if is_over && decision.standing != Standing::InForce {
            return;
        }
        let label = self.label(decision);
        let entry = Arc::new(Entry {
            id: decision.id,
            target: decision.target.clone(),
            measure: decision.measure,
            origin: decision.origin,
            label,
            since: decision.created_at,
            until: decision.ends_at(),
            changed: decision.changed,
        });
        if is_over {
            let at = entry.until;
            self.remember_gone(at, entry);
        } else {
            self.put(entry);
        }
    }

    /// Moves what has expired out of the way.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some(((until, id), _)) = self.ends.first_key_value()
            && *until <= now
        {
            let (until, id) = (*until, *id);
            if let Some(entry) = self.take_out(id) {
                self.remember_gone(until, entry);
            }
        }
        let oldest = now.minus(GONE_KEPT);
        while let Some((at, entry)) = self.gone.front()
            && (*at < oldest || GONE_MAX < self.gone.len())
        {
            self.gone_from = self.gone_from.max(*at);
            self.gone_by_change.remove(&entry.changed);
            self.gone.pop_front();
        }
        if 2 * self.by_id.len() + self.gone.len() + 1000 < self.labels.len() {
            self.labels.retain(|it| 1 < Arc::strong_count(it));
        }
    }

    /// What is to be done with an address: the hardest measure, of equal ones the one that ends last.
    #[must_use]
    pub fn find(&self, address: IpAddr, now: Timestamp) -> Option<&Arc<Entry>> {
        if self.networks.is_empty() {
            return None;
        }
        self.of_address(address, now).max_by_key(|it| (it.measure, it.until, it.id))
    }

    /// Everything in force about an address, ranges that hold it too.
    pub fn of_address(&self, address: IpAddr, now: Timestamp) -> impl Iterator<Item = &Arc<Entry>> {
        self.networks.holding(address).flat_map(|it| it.1).filter(move |it| now < it.until)
    }

    /// Everything in force about all of a network.
    pub fn covering(&self, network: Network, now: Timestamp) -> impl Iterator<Item = &Arc<Entry>> {
        self.networks.covering(network).flat_map(|it| it.1).filter(move |it| now < it.until)
    }

    /// Everything in force about a user.
    pub fn of_user(&self, user: &str, now: Timestamp) -> impl Iterator<Item = &Arc<Entry>> {
        self.users.get(user).into_iter().flatten().filter(move |it| now < it.until)
    }

    /// Everything in force about exactly a target.
    pub fn of_target(&self, target: &Target, now: Timestamp) -> impl Iterator<Item = &Arc<Entry>> {
        let found = match target {
            Target::Network(it) => self.networks.get(it),
            Target::User(it) => self.users.get(it),
        };
        found.into_iter().flatten().filter(move |it| now < it.until)
    }

    /// Everything in force, in the order of its changes.
    pub fn all(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_change.values().filter(move |it| now < it.until)
    }

    /// How many decisions are in force, those that expired since [`Self::expire`] among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The number of the last change.
    #[must_use]
    pub const fn changed(&self) -> u64 {
        self.changed
    }

    /// What has changed behind `cursor`; everything for `None`, for one that is too old, and for one of more than [`OVERLAP`]
    /// after `now`: then the clock was set back, and what expired since cannot be told by its time.
    ///
    /// What was removed is told again for [`OVERLAP`], and what is in force is told again once something shorter about the
    /// same target and measure ended: some enforcers keep only the first and let it end (a kernel's set with time limits).
    #[must_use]
    pub fn since(&self, cursor: Option<Cursor>, now: Timestamp) -> Changes {
        self.since_for(cursor, now, View { is_exact: false, takes: &|_| true })
    }

    /// The same for somebody who sees a part only, as if there were nothing else.
    #[must_use]
    pub fn since_for(&self, cursor: Option<Cursor>, now: Timestamp, view: View<'_>) -> Changes {
        let next = Cursor { changed: self.changed, at: now };
        let is_kept = |it: &Cursor| self.gone_from < it.at.minus(OVERLAP) || self.gone_from == Timestamp::default();
        let cursor = cursor.filter(|it| it.is_of_past(now) && is_kept(it));
        let told = cursor.unwrap_or(Cursor { changed: 0, at: Timestamp::MIN });
        let at = told.at.minus(OVERLAP);
        // Two clocks that are not quite the same: rather twice than never.
        let told = if now < told.at { Cursor { at, ..told } } else { told };
        let is_news =
            |it: &&Arc<Entry>| (view.takes)(it) && (!view.is_exact || told.changed < it.changed || told.at < it.until);
        let (mut added, mut removed) = (ByTarget::new(), ByTarget::new());
        for entry in self.by_change.range(told.changed.saturating_add(1)..).map(|it| it.1).filter(is_news) {
            if let Some(last) = self.last_of(entry, now, view) {
                added.insert((&last.target, last.measure), last);
            }
        }
        let first = self.gone.partition_point(|it| it.0 <= at);
        let expired = self.ends.range(..=(now, DecisionId(u64::MAX))).map(|it| it.1);
        let ended = self.gone_by_change.range(told.changed.saturating_add(1)..).map(|it| it.1);
        let gone = self.gone.range(first..).map(|it| &it.1).chain(ended).chain(expired.filter(|it| at < it.until));
        for entry in gone.filter(is_news) {
            match self.last_of(entry, now, view) {
                Some(last) => added.insert((&last.target, last.measure), last),
                None => removed.insert((&entry.target, entry.measure), entry),
            };
        }
        Changes { added: sorted(added), removed: sorted(removed), next }
    }

    /// Of what is in force about the target and measure of `entry`, what ends last.
    fn last_of(&self, entry: &Entry, now: Timestamp, view: View<'_>) -> Option<&Arc<Entry>> {
        let alike = |it: &&Arc<Entry>| it.measure == entry.measure && (view.takes)(it);
        self.of_target(&entry.target, now).filter(alike).max_by_key(|it| (it.until, it.id))
    }

    fn label(&mut self, decision: &Decision) -> Arc<str> {
        let text = if decision.basis.rule_id.is_empty() { &decision.reason } else { &decision.basis.rule_id };
        if let Some(known) = self.labels.get(text.as_str()) {
            return known.clone();
        }
        let label: Arc<str> = text.as_str().into();
        self.labels.insert(label.clone());
        label
    }

    fn put(&mut self, entry: Arc<Entry>) {
        match &entry.target {
            Target::Network(it) => self.networks.entry(*it).push(entry.clone()),
            Target::User(it) => self.users.entry_ref(it.as_str()).or_default().push(entry.clone()),
        }
        self.by_change.insert(entry.changed, entry.clone());
        self.ends.insert((entry.until, entry.id), entry.clone());
        self.by_id.insert(entry.id, entry);
    }

    fn take_out(&mut self, id: DecisionId) -> Option<Arc<Entry>> {
        let entry = self.by_id.remove(&id)?;
        self.by_change.remove(&entry.changed);
        self.ends.remove(&(entry.until, id));
        match &entry.target {
            Target::Network(it) => {
                if let Some(list) = self.networks.get_mut(it) {
                    list.retain(|it| it.id != id);
                    if list.is_empty() {
                        self.networks.remove(it);
                    }
                }
            }
            Target::User(it) => {
                if let Some(list) = self.users.get_mut(it.as_str()) {
                    list.retain(|it| it.id != id);
                    if list.is_empty() {
                        self.users.remove(it.as_str());
                    }
                }
            }
        }
        Some(entry)
    }

    fn remember_gone(&mut self, at: Timestamp, entry: Arc<Entry>) {
        let place = self.gone.partition_point(|it| it.0 <= at);
        self.gone_by_change.insert(entry.changed, entry.clone());
        self.gone.insert(place, (at, entry));
    }
}

fn sorted(entries: ByTarget<'_>) -> Vec<Arc<Entry>> {
    let mut entries: Vec<_> = entries.into_values().cloned().collect();
    entries.sort_by_key(|it| it.id);
    entries
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
