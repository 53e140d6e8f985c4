//! Who pulls decisions: up to where each has been told, how often it comes, and what it reports.
//!
//! Kept in memory and written to the store every few seconds. What a crash takes is told once more, which does no harm.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backends::store::decisions::Puller;
use backends::store::{Store, StoreError};
use decision::set::{Cursor, GONE_KEPT, OVERLAP};
use hashbrown::HashMap;
use model::time::Timestamp;

/// How many are remembered, each with some hundred bytes; for one more the one that was silent longest is forgotten.
pub const PULLERS_MAX: usize = 10_000;
/// How much of what a puller calls itself is kept, in bytes.
const AGENT_BYTES_MAX: usize = 200;
/// How many pulls there must be before a rhythm is one: whoever tries by hand is missed by nobody.
const RHYTHM_PULLS: u64 = 4;
/// How many of its intervals a puller may miss.
const MISSED_MAX: u32 = 3;
/// For how long nobody is called silent, whatever the rhythm.
pub const SILENCE_MIN: Duration = Duration::from_secs(60);

/// Through which door somebody pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The stream of the CrowdSec API.
    Crowdsec,
    /// Questions of the CrowdSec API about one address at a time.
    CrowdsecLive,
    /// A list.
    List,
    /// The stream of changes.
    Stream,
    /// The stream of changes, by `bartizan enforce nftables`.
    Nftables,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Crowdsec, Self::CrowdsecLive, Self::List, Self::Stream, Self::Nftables];

    /// The word of the store and of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crowdsec => "crowdsec",
            Self::CrowdsecLive => "crowdsec-live",
            Self::List => "list",
            Self::Stream => "stream",
            Self::Nftables => "nftables",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// Whether it comes by itself in a rhythm, so that its silence says something.
    #[must_use]
    pub const fn is_regular(self) -> bool {
        !matches!(self, Self::CrowdsecLive)
    }
}

/// Who somebody is: a key that two addresses share is two of them, each with a cursor of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The name of the key.
    pub name: String,
    /// From where.
    pub address: String,
    /// Through which door.
    pub kind: Kind,
}

/// A pull whose answer went out.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Who.
    pub identity: Identity,
    /// How it calls itself.
    pub agent: String,
    /// Up to where it has been told now.
    pub told: Cursor,
    /// How long the newest decision that it was told of had waited; `None` when it was told of none, or of everything.
    pub lag: Option<Duration>,
    /// The port of the connection it came by.
    pub port: u16,
}

/// Somebody who comes no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Who.
    pub puller: Puller,
    /// How often it came before.
    pub interval: Duration,
}

/// What is known of one.
#[derive(Clone, Debug)]
struct State {
    row: Puller,
    cursor: Option<Cursor>,
    /// The cursor before, for when the last answer never arrived.
    before: Option<Cursor>,
    port: Option<u16>,
    interval: Option<Duration>,
    is_noted: bool,
}

/// Everybody who pulls.
pub struct Pullers {
    store: Arc<dyn Store>,
    /// Before this nobody could pull.
    opened_at: Timestamp,
    states: Mutex<HashMap<Identity, State>>,
}

impl Pullers {
    /// Reads who is known.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn open(store: Arc<dyn Store>, now: Timestamp) -> Result<Self, StoreError> {
        let mut states = HashMap::new();
        for row in store.pullers()?.into_iter().take(PULLERS_MAX) {
            let Some(kind) = Kind::from_word(&row.kind) else { continue };
            let identity = Identity { name: row.name.clone(), address: row.address.clone(), kind };
            let cursor = Some(Cursor { changed: row.changed, at: row.last_at });
            states.insert(identity, State { row, cursor, before: cursor, port: None, interval: None, is_noted: true });
        }
        Ok(Self { store, opened_at: now, states: Mutex::new(states) })
    }

    /// From where to tell somebody who comes by a connection with this port.
    ///
    /// Another connection than the last time means that the last answer may have been lost on its way, so it is told again.
    #[must_use]
    pub fn cursor(&self, identity: &Identity, port: u16, now: Timestamp) -> Option<Cursor> {
        let states = self.lock();
        let state = states.get(identity)?;
        let cursor = if state.port == Some(port) { state.cursor } else { state.before }?;
        // A clock that was set back must not hide what expires meanwhile: everything is told then, as after too long.
        (cursor.is_of_past(now) && now.since(cursor.at) < GONE_KEPT).then_some(cursor)
    }

    /// Notes a pull whose answer went out.
    pub fn pulled(&self, pull: Pull) {
        let mut states = self.lock();
        make_room(&mut states, &pull.identity);
        let at = pull.told.at;
        let state = states.entry(pull.identity).or_insert_with_key(|identity| State::new(identity, at));
        let gap = at.since(state.row.last_at);
        if 0 < state.row.pulls && !gap.is_zero() {
            // A slow change follows a new setting, and a single late pull says nothing.
            state.interval = Some(state.interval.map_or(gap, |it| (it * 3 + gap) / 4));
        }
        state.before = state.cursor;
        state.cursor = Some(pull.told);
        state.port = Some(pull.port);
        // Answers may cross; a time that is far ahead is of a clock that was set back, and would hide a silence.
        state.row.last_at = if pull.told.at.plus(OVERLAP) < state.row.last_at { at } else { state.row.last_at.max(at) };
        state.row.changed = pull.told.changed;
        state.row.pulls += 1;
        state.row.agent = cut(&pull.agent);
        state.row.lag_millis = pull.lag.map(|it| it.as_millis() as u64).or(state.row.lag_millis);
        state.is_noted = false;
    }

    /// Changes what somebody reports of itself, as JSON text; it may have come through either door of the CrowdSec API.
    pub fn reported(&self, identity: &Identity, now: Timestamp, merge: impl FnOnce(&str) -> String) {
        let mut states = self.lock();
        make_room(&mut states, identity);
        let state = states.entry(identity.clone()).or_insert_with(|| State::new(identity, now));
        state.row.reported = merge(&state.row.reported);
        state.is_noted = false;
    }

    /// How long somebody who pulled last at `last_at` could have pulled and did not.
    #[must_use]
    pub fn silence(&self, last_at: Timestamp, now: Timestamp) -> Duration {
        now.since(last_at.max(self.opened_at))
    }

    /// Everybody, by name, address and kind, each with its rhythm if it has one.
    #[must_use]
    pub fn all(&self) -> Vec<(Puller, Option<Duration>)> {
        let states = self.lock();
        let mut all: Vec<_> = states.iter().map(|(id, it)| (id, it.row.clone(), it.rhythm())).collect();
        all.sort_unstable_by(|left, right| left.0.cmp(right.0));
        all.into_iter().map(|(_, row, rhythm)| (row, rhythm)).collect()
    }

    /// Who has missed several of its pulls.
    #[must_use]
    pub fn silent(&self, now: Timestamp) -> Vec<Silent> {
        let states = self.lock();
        let regular = states.iter().filter(|it| it.0.kind.is_regular());
        let silent = regular.filter_map(|(_, state)| {
            let interval = state.rhythm()?;
            (silence_of(interval) < self.silence(state.row.last_at, now))
                .then(|| Silent { puller: state.row.clone(), interval })
        });
        silent.collect()
    }

    /// Forgets all pullers that use the key of this name; returns whether there was one.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn forget(&self, name: &str) -> Result<bool, StoreError> {
        let mut states = self.lock();
        let before = states.len();
        states.retain(|it, _| it.name != name);
        let is_known = states.len() < before;
        drop(states);
        Ok(self.store.forget_puller(name)? || is_known)
    }

    /// Writes to the store what has changed. Blocks.
    ///
    /// # Errors
    ///
    /// What the store says; then it is tried again the next time.
    pub fn note(&self) -> Result<(), StoreError> {
        let changed: Vec<(Identity, Puller)> = {
            let mut states = self.lock();
            let changed = states.iter_mut().filter(|it| !it.1.is_noted);
            changed
                .map(|(identity, state)| {
                    state.is_noted = true;
                    (identity.clone(), state.row.clone())
                })
                .collect()
        };
        if changed.is_empty() {
            return Ok(());
        }
        let rows: Vec<Puller> = changed.iter().map(|it| it.1.clone()).collect();
        let noted = self.store.note_pullers(&rows);
        if noted.is_err() {
            let failed: BTreeSet<_> = changed.into_iter().map(|it| it.0).collect();
            self.lock().iter_mut().filter(|it| failed.contains(it.0)).for_each(|it| it.1.is_noted = false);
        }
        noted
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After how long without a pull somebody with this rhythm is silent.
#[must_use]
pub fn silence_of(interval: Duration) -> Duration {
    (interval * MISSED_MAX).max(SILENCE_MIN)
}

impl State {
    fn new(identity: &Identity, now: Timestamp) -> Self {
        let row = Puller {
            name: identity.name.clone(),
            address: identity.address.clone(),
            agent: String::new(),
            kind: identity.kind.as_str().to_owned(),
            first_at: now,
            last_at: now,
            changed: 0,
            pulls: 0,
            lag_millis: None,
            reported: String::new(),
        };
        Self { row, cursor: None, before: None, port: None, interval: None, is_noted: false }
    }

    /// How often it comes: as measured, else on average as far as it is known.
    fn rhythm(&self) -> Option<Duration> {
        if self.row.pulls < RHYTHM_PULLS {
            return None;
        }
        let pulls = u32::try_from(self.row.pulls - 1).unwrap_or(u32::MAX);
        let average = self.row.last_at.since(self.row.first_at) / pulls;
        self.interval.or(Some(average)).filter(|it| !it.is_zero())
    }
}

fn make_room(states: &mut HashMap<Identity, State>, identity: &Identity) {
    if states.len() < PULLERS_MAX || states.contains_key(identity) {
        return;
    }
    let oldest = states.iter().min_by_key(|it| it.1.row.last_at).map(|it| it.0.clone());
    if let Some(oldest) = oldest {
        states.remove(&oldest);
    }
}

fn cut(text: &str) -> String {
    let end = (0..=AGENT_BYTES_MAX.min(text.len())).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
    text[..end].to_owned()
}
