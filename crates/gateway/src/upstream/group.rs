//! The upstreams of a route: taken in turn, those that fail left out for a while, connections kept for the next request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::connection::{ConnectError, Connection, connect};

/// How many idle connections to one upstream are kept; more are closed after their request.
const IDLE_MAX: usize = 512;
/// How long an idle connection is kept. Servers close theirs after 5 s (Node), 60 s or 75 s: below the shortest,
/// a request rarely meets a connection that is just being closed.
const IDLE_KEPT: Duration = Duration::from_secs(4);
/// How long a connection may take to be ready after its last answer.
const READY: Duration = Duration::from_secs(1);
/// After how many failures in a row an upstream is left out.
const FAILURES_MAX: u32 = 3;
/// For how long.
const LEFT_OUT: Duration = Duration::from_secs(10);

/// What the upstreams of all routes share.
#[derive(Clone)]
pub(crate) struct GroupSettings {
    pub(crate) connect: Duration,
    /// How TLS is spoken; needed where an address is `https`.
    pub(crate) tls: Option<TlsConnector>,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), tls: None }
    }
}

impl std::fmt::Debug for GroupSettings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("GroupSettings").field("connect", &self.connect).finish_non_exhaustive()
    }
}

/// The upstreams of a route.
#[derive(Debug)]
pub(crate) struct Group {
    members: Vec<Arc<Upstream>>,
    next: AtomicUsize,
}

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: Address,
    settings: Arc<GroupSettings>,
    idle: Mutex<Vec<(Instant, Connection)>>,
    failures: AtomicU32,
    left_out_until: Mutex<Option<Instant>>,
    /// Whether the active check failed.
    is_sick: AtomicBool,
}

impl Group {
    pub(crate) const fn new(members: Vec<Arc<Upstream>>) -> Self {
        Self { members, next: AtomicUsize::new(0) }
    }

    /// The next upstream in turn that is well and not in `tried`; when none is well, one that is not in `tried`.
    pub(crate) fn pick(&self, tried: &[Arc<Upstream>]) -> Option<Arc<Upstream>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..self.members.len()).map(|it| &self.members[first.wrapping_add(it) % self.members.len()]);
        let is_left = |it: &&Arc<Upstream>| !tried.iter().any(|tried| Arc::ptr_eq(tried, it));
        let now = Instant::now();
        let well = in_turn().filter(is_left).find(|it| it.is_well(now));
        well.or_else(|| in_turn().find(is_left)).cloned()
    }
}

/// The upstreams of a policy, one for an address, however many routes lead to it.
#[derive(Debug, Default)]
pub(crate) struct Directory(BTreeMap<Address, Arc<Upstream>>);

impl Directory {
    /// The upstream at an address: the one that is known, else the one that `former` knows, else a new one.
    pub(crate) fn get(
        &mut self,
        address: &Address,
        former: Option<&Self>,
        settings: &Arc<GroupSettings>,
    ) -> Arc<Upstream> {
        let kept = || former.and_then(|it| it.0.get(address)).cloned();
        let new = || kept().unwrap_or_else(|| Arc::new(Upstream::new(address.clone(), settings.clone())));
        self.0.entry(address.clone()).or_insert_with(new).clone()
    }

    /// All of them, by their addresses.
    pub(crate) fn all(&self) -> Vec<Arc<Upstream>> {
        self.0.values().cloned().collect()
    }
}

impl Upstream {
    fn new(address: Address, settings: Arc<GroupSettings>) -> Self {
        Self {
            address,
            settings,
            idle: Mutex::default(),
            failures: AtomicU32::new(0),
            left_out_until: Mutex::default(),
            is_sick: AtomicBool::new(false),
        }
    }

    /// Whether it is to be asked.
    pub(crate) fn is_well(&self, now: Instant) -> bool {
        let until = *self.left_out_until.lock().unwrap_or_else(PoisonError::into_inner);
        !self.is_sick.load(Ordering::Relaxed) && until.is_none_or(|it| it <= now)
    }

    /// Counts a failure; several in a row leave it out for a while.
    pub(crate) fn failed(&self) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if FAILURES_MAX <= failures {
            let until = Instant::now() + LEFT_OUT;
            let former = self.left_out_until.lock().unwrap_or_else(PoisonError::into_inner).replace(until);
            if former.is_none() {
                tracing::warn!(upstream = %self.address, failures, "Left an upstream out for a while: it fails");
            }
        }
    }

    /// Notes that it answered.
    pub(crate) fn succeeded(&self) {
        if self.failures.swap(0, Ordering::Relaxed) != 0 {
            *self.left_out_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Notes what the active check found.
    pub(crate) fn checked(&self, is_well: bool) {
        let was_sick = self.is_sick.swap(!is_well, Ordering::Relaxed);
        if was_sick == is_well {
            let state = if is_well { "well again" } else { "not well" };
            tracing::warn!(upstream = %self.address, "An upstream is {state}, says its health check");
        }
        if is_well {
            self.succeeded();
        }
    }

    /// A connection: one that is kept and ready, else a new one.
    pub(crate) async fn connection(&self) -> Result<Connection, ConnectError> {
        while let Some(mut kept) = self.take_idle() {
            if matches!(timeout(READY, kept.sender.ready()).await, Ok(Ok(()))) {
                return Ok(kept);
            }
        }
        self.new_connection().await
    }

    /// A new connection.
    pub(crate) async fn new_connection(&self) -> Result<Connection, ConnectError> {
        let tls = self.settings.tls.as_ref().filter(|_| self.address.is_tls);
        connect(&self.address, tls, self.settings.connect).await
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn keep(&self, mut connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        connection.is_used = true;
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push((Instant::now(), connection));
        }
    }

    /// Closes connections that nobody used for a while.
    pub(crate) fn close_idle(&self, now: Instant) {
        self.idle().retain(|(since, it)| now.duration_since(*since) < IDLE_KEPT && !it.sender.is_closed());
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle();
        // The newest first: what many were needed for once, closes.
        while let Some((since, connection)) = idle.pop() {
            if since.elapsed() < IDLE_KEPT && !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(count: u16) -> Group {
        let address = |it| Address { is_tls: false, host: "127.0.0.1".to_owned(), port: 4000 + it };
        let upstream = |it| Arc::new(Upstream::new(address(it), Arc::default()));
        Group::new((0..count).map(upstream).collect())
    }

    fn picked(group: &Group, tried: &[Arc<Upstream>]) -> Option<u16> {
        group.pick(tried).map(|it| it.address.port - 4000)
    }

    #[test]
    fn takes_turns_and_leaves_out_what_was_tried() {
        let group = group(3);
        let turns: Vec<_> = (0..4).map(|_| picked(&group, &[])).collect();
        assert_eq!(turns, [Some(0), Some(1), Some(2), Some(0)]);
        let tried = group.members[..2].to_vec();
        assert_eq!((0..3).map(|_| picked(&group, &tried)).collect::<Vec<_>>(), [Some(2); 3]);
        assert_eq!(picked(&group, &group.members), None);
    }

    #[test]
    fn three_failures_in_a_row_leave_it_out_and_one_answer_brings_it_back() {
        let group = group(2);
        let first = &group.members[0];
        (0..2).for_each(|_| first.failed());
        assert!(first.is_well(Instant::now()));
        first.failed();
        assert!(!first.is_well(Instant::now()));
        assert!(first.is_well(Instant::now() + LEFT_OUT));
        assert_eq!((0..3).map(|_| picked(&group, &[])).collect::<Vec<_>>(), [Some(1); 3]);
        first.succeeded();
        assert!(first.is_well(Instant::now()));
    }

    #[test]
    fn when_all_are_sick_one_is_asked_nevertheless() {
        let group = group(2);
        group.members.iter().for_each(|it| it.checked(false));
        assert!(picked(&group, &[]).is_some());
        group.members[1].checked(true);
        assert_eq!((0..3).map(|_| picked(&group, &[])).collect::<Vec<_>>(), [Some(1); 3]);
    }
}
