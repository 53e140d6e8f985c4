//! Where all enforcers of a process look: the decisions in force and who is spared, shared by any number of threads.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::decision::{Decision, Target};
use model::time::Timestamp;

use crate::set::{Changes, Cursor, DecisionSet, Entry, View};
use crate::spared::SparedList;

/// Is told that something changed; it must not block, and not ask the board.
pub type Listener = Arc<dyn Fn() + Send + Sync>;

/// The decisions in force and who is spared. What is spared is asked again whenever a decision is served.
#[derive(Debug, Default)]
pub struct Board {
    inner: RwLock<Inner>,
    /// Another number after each change of what is served.
    version: AtomicU64,
    listeners: Listeners,
}

#[derive(Default)]
struct Listeners(RwLock<Vec<Listener>>);

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listeners")
    }
}

#[derive(Debug, Default)]
struct Inner {
    set: DecisionSet,
    spared: SparedList,
}

impl Board {
    /// Takes decisions as they are now, and moves what has expired out of the way.
    pub fn apply(&self, decisions: &[Decision], now: Timestamp) {
        let mut inner = self.write();
        inner.set.expire(now);
        decisions.iter().for_each(|it| inner.set.apply(it, now));
        drop(inner);
        if !decisions.is_empty() {
            self.tell();
        }
    }

    /// Puts exactly these decisions on the board: what lay there before is forgotten, cursors too.
    pub fn replace(&self, decisions: &[Decision], now: Timestamp) {
        let mut set = DecisionSet::default();
        decisions.iter().for_each(|it| set.apply(it, now));
        self.write().set = set;
        self.tell();
    }

    /// Whether an address is spared.
    #[must_use]
    pub fn spares(&self, address: IpAddr) -> bool {
        self.read().spared.holds(address)
    }

    /// Has `listener` told after each change of what is served; what expires by itself changes nothing.
    pub fn listen(&self, listener: Listener) {
        self.listeners.0.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    fn tell(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.listeners.0.read().unwrap_or_else(PoisonError::into_inner).iter().for_each(|it| it());
    }

    /// Takes a new list of who is spared.
    pub fn spare(&self, spared: SparedList) {
        self.write().spared = spared;
        self.tell();
    }

    /// What is to be done with an address; nothing when it is spared.
    #[must_use]
    pub fn find(&self, address: IpAddr, now: Timestamp) -> Option<Arc<Entry>> {
        let inner = self.read();
        let found = inner.set.find(address, now)?;
        (!inner.spared.holds(address)).then(|| found.clone())
    }

    /// What has changed behind `cursor`, without what is spared; see [`DecisionSet::since`].
    #[must_use]
    pub fn since(&self, cursor: Option<Cursor>, now: Timestamp) -> Changes {
        let inner = self.read();
        let mut changes = inner.set.since(cursor, now);
        changes.added.retain(|it| inner.is_served(&it.target));
        changes
    }

    /// The same for somebody who sees a part only; see [`DecisionSet::since_for`].
    #[must_use]
    pub fn since_for(&self, cursor: Option<Cursor>, now: Timestamp, view: View<'_>) -> Changes {
        let inner = self.read();
        let mut changes = inner.set.since_for(cursor, now, view);
        changes.added.retain(|it| inner.is_served(&it.target));
        changes
    }

    /// Everything in force that `select` takes, without what is spared, in the order of its changes.
    #[must_use]
    pub fn select(&self, now: Timestamp, select: &mut dyn FnMut(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let inner = self.read();
        inner.set.all(now).filter(|it| select(it) && inner.is_served(&it.target)).cloned().collect()
    }

    /// Everything in force about all of a target: for an address or a range also wider ranges.
    #[must_use]
    pub fn about(&self, target: &Target, now: Timestamp) -> Vec<Arc<Entry>> {
        let inner = self.read();
        let mut found: Vec<_> = match target {
            Target::Network(it) => inner.set.covering(*it, now).cloned().collect(),
            Target::User(it) => inner.set.of_user(it, now).cloned().collect(),
        };
        found.retain(|it| inner.is_served(&it.target));
        found
    }

    /// Calls `see` with the decisions, those about who is spared too.
    pub fn with_set<T>(&self, see: impl FnOnce(&DecisionSet) -> T) -> T {
        see(&self.read().set)
    }

    /// How many decisions are in force, and the number of the last change.
    #[must_use]
    pub fn count(&self) -> (usize, u64) {
        let inner = self.read();
        (inner.set.len(), inner.set.changed())
    }

    /// A number that is another after each change; what expires by itself changes nothing.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_served(&self, target: &Target) -> bool {
        target.network().is_none_or(|it| !self.spared.overlaps(it))
    }
}

#[cfg(test)]
mod tests {
    use model::network::Network;

    use super::*;
    use crate::fixtures::{NOON, ban, target};

    #[test]
    fn who_is_spared_is_never_served_whatever_is_in_force() {
        let board = Board::default();
        board.apply(&[ban(1, "203.0.113.7", 60), ban(2, "203.0.113.0/24", 60), ban(3, "198.51.100.1", 60)], NOON);
        let monitor: IpAddr = "203.0.113.7".parse().unwrap();
        assert!(board.find(monitor, NOON).is_some());
        let version = board.version();
        let mut spared = SparedList::new();
        spared.add(Network::of(monitor), "the monitor");
        board.spare(spared);
        assert_ne!(board.version(), version);
        assert_eq!(board.find(monitor, NOON), None);
        // The range is not handed out either: an enforcer elsewhere would block the monitor with it.
        let served: Vec<u64> = board.since(None, NOON).added.iter().map(|it| it.id.0).collect();
        assert_eq!(served, [3]);
        assert_eq!(board.about(&target("203.0.113.7"), NOON), []);
        assert_eq!(board.select(NOON, &mut |_| true).len(), 1);
        assert_eq!(board.count(), (3, 3));
        assert!(board.spares(monitor) && !board.spares("203.0.113.8".parse().unwrap()));
    }

    #[test]
    fn what_is_replaced_is_found_no_longer() {
        let board = Board::default();
        board.apply(&[ban(1, "203.0.113.7", 60)], NOON);
        let version = board.version();
        board.replace(&[ban(1, "198.51.100.1", 60)], NOON);
        assert_ne!(board.version(), version);
        let found = |it: &str| board.find(it.parse().unwrap(), NOON).is_some();
        assert_eq!((found("203.0.113.7"), found("198.51.100.1"), board.count().0), (false, true, 1));
    }
}
