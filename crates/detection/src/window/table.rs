//! The keys of one rule, bounded: who must make room is who could lose least.

use std::collections::HashMap as StdMap;

use hashbrown::HashMap;
use model::entity::{Entity, EntityKind};
use model::time::Timestamp;

use super::seeds::Seeds;
use super::{Added, Counted, Item, KeyWindow, Terms};
use crate::snapshot::{Decoder, Encoder};

/// A key as windows know it: an address is itself, everything else a digest.
pub type KeyHash = u128;

/// The share of the keys that make room at once, as a divisor: looking for them costs a walk over all.
const EVICTED_PART: usize = 4;
/// Rules with a threshold above this lose so little with a single event that it is not kept.
const SEEDED_THRESHOLD_MAX: u32 = 5;

/// How many keys a rule keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Keys with a window. Each takes some 200 bytes, and up to a few kilobytes when it is busy.
    pub keys_max: usize,
    /// Keys seen once, of 32 bytes each, beyond those.
    pub seeds_max: usize,
}

impl Default for Bounds {
    /// 65,536 windows and 12 million keys seen once: together under 450 MB for the one rule that a flood hits.
    fn default() -> Self {
        Self { keys_max: 65_536, seeds_max: 12_000_000 }
    }
}

/// The keys of one rule.
#[derive(Debug)]
pub struct Table<W> {
    terms: Terms,
    bounds: Bounds,
    keys: HashMap<KeyHash, Slot<W>>,
    seeds: Seeds,
    /// The keys with alerts to take, in the order in which they changed.
    changed: Vec<KeyHash>,
    /// Alerts that were finished while others came, with their keys' names.
    finished: Vec<(Named, Counted)>,
    newest: Timestamp,
    evicted: u64,
}

/// Whom a key stands for, and since when it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The entity of the alert.
    pub entity: Entity,
    /// All of the key, as text.
    pub key: String,
    /// The log position at which counting began.
    pub incarnation: u64,
    /// Whether the events are demo or self-test data.
    pub is_synthetic: bool,
}

impl Named {
    /// Writes it.
    pub fn encode(&self, out: &mut Encoder) {
        out.text(self.entity.kind.as_str());
        out.text(&self.entity.value);
        out.text(&self.key);
        out.u64(self.incarnation);
        out.flag(self.is_synthetic);
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let kind = EntityKind::from_word(&from.text()?)?;
        let entity = Entity { kind, value: from.text()? };
        Some(Self { entity, key: from.text()?, incarnation: from.u64()?, is_synthetic: from.flag()? })
    }
}

#[derive(Debug)]
struct Slot<W> {
    window: W,
    since: u64,
    touched: u64,
    named: Option<Box<Named>>,
    is_changed: bool,
}

impl<W: KeyWindow> Table<W> {
    /// Makes an empty table.
    #[must_use]
    pub fn new(terms: Terms, bounds: Bounds) -> Self {
        let seeds_max = if terms.threshold <= SEEDED_THRESHOLD_MAX { bounds.seeds_max } else { 0 };
        Self {
            terms,
            bounds,
            keys: HashMap::new(),
            seeds: Seeds::new(seeds_max),
            changed: Vec::new(),
            finished: Vec::new(),
            newest: Timestamp::MIN,
            evicted: 0,
        }
    }

    /// How many keys have a window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys lost their events to make room, since the start.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Adds an event to a key. `name` says whom the key stands for; it is asked when there is an alert to tell of.
    pub fn add(&mut self, key: KeyHash, item: Item, name: impl FnOnce() -> (Entity, String, bool)) -> Added {
        self.newest = self.newest.max(item.clock);
        let sequence = item.event.sequence;
        if self.bounds.keys_max <= self.keys.len() && !self.keys.contains_key(&key) {
            self.make_room();
        }
        let (terms, seeds) = (&self.terms, &mut self.seeds);
        let mut out = Vec::new();
        let slot = self.keys.entry(key).or_insert_with(|| {
            let mut window = W::default();
            if let Some(event) = seeds.take(key) {
                window.add(Item { event, clock: event.time.min(item.clock), ..item }, terms, &mut out);
            }
            Slot { window, since: sequence, touched: sequence, named: None, is_changed: false }
        });
        slot.touched = sequence;
        let added = slot.window.add(item, terms, &mut out);
        if added == Added::Changed {
            if slot.named.is_none() {
                let (entity, key, is_synthetic) = name();
                slot.named = Some(Box::new(Named { entity, key, incarnation: slot.since, is_synthetic }));
            }
            if !slot.is_changed {
                slot.is_changed = true;
                self.changed.push(key);
            }
        }
        if let Some(named) = &slot.named {
            self.finished.extend(out.into_iter().map(|it| (Named::clone(named), it)));
        }
        added
    }

    /// Takes the alerts that are new or changed.
    pub fn take(&mut self, out: &mut Vec<(Named, Counted)>) {
        out.append(&mut self.finished);
        let mut counted = Vec::new();
        for key in self.changed.drain(..) {
            let Some(slot) = self.keys.get_mut(&key) else { continue };
            slot.is_changed = false;
            slot.window.take(&self.terms, &mut counted);
            if let Some(named) = &slot.named {
                out.extend(counted.drain(..).map(|it| (Named::clone(named), it)));
            }
        }
    }

    /// Whether there are alerts to take.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty() || !self.finished.is_empty()
    }

    /// Evicts a quarter of the keys: first those too old to matter, then those with the fewest events, then the
    /// longest untouched. One that rests on a single event becomes a seed; a key with an alert to take stays.
    fn make_room(&mut self) {
        let dead_before = self.newest.0.saturating_sub(2 * self.terms.span.saturating_add(self.terms.lateness));
        let rank = |slot: &Slot<W>| {
            let is_dead = slot.window.newest().0 < dead_before;
            (if is_dead { 0 } else { slot.window.weight() }, slot.touched)
        };
        let mut ranked: Vec<_> =
            self.keys.iter().filter(|it| !it.1.is_changed).map(|(key, slot)| (rank(slot), *key)).collect();
        let evicted = (self.keys.len() / EVICTED_PART).max(1).min(ranked.len());
        if evicted == 0 {
            return;
        }
        ranked.select_nth_unstable(evicted - 1);
        for ((weight, _), key) in ranked.into_iter().take(evicted) {
            let Some(slot) = self.keys.remove(&key) else { continue };
            let is_kept = weight == 0
                || slot.window.only_event().is_some_and(|it| self.seeds.put(key, it, self.newest, &self.terms));
            self.evicted += u64::from(!is_kept);
        }
    }

    /// Writes all of it.
    pub fn encode(&self, out: &mut Encoder) {
        out.i64(self.newest.0);
        out.u64(self.evicted);
        out.u64(self.keys.len() as u64);
        for (key, slot) in &self.keys {
            out.u128(*key);
            out.u64(slot.since);
            out.u64(slot.touched);
            out.flag(slot.named.is_some());
            if let Some(named) = &slot.named {
                named.encode(out);
            }
            slot.window.encode(out);
        }
        self.seeds.encode(out);
    }

    /// Reads what [`Self::encode`] wrote; the alerts to take must have been taken before.
    pub fn decode(from: &mut Decoder<'_>, terms: Terms, bounds: Bounds) -> Option<Self> {
        let mut table = Self::new(terms, bounds);
        table.newest = Timestamp(from.i64()?);
        table.evicted = from.u64()?;
        let slots = from.list(|from| {
            let (key, since, touched) = (from.u128()?, from.u64()?, from.u64()?);
            let named = if from.flag()? { Some(Box::new(Named::decode(from)?)) } else { None };
            Some((key, Slot { window: W::decode(from)?, since, touched, named, is_changed: false }))
        })?;
        table.keys = slots.into_iter().collect();
        table.seeds = Seeds::decode(from, table.seeds_max())?;
        Some(table)
    }

    fn seeds_max(&self) -> usize {
        if self.terms.threshold <= SEEDED_THRESHOLD_MAX { self.bounds.seeds_max } else { 0 }
    }
}

/// Counts how many alerts each bucket of a rule has; the oldest buckets are forgotten beyond a bound.
#[derive(Debug, Default)]
pub struct AlertsPerBucket {
    counts: StdMap<i64, u32>,
}

/// How many buckets are remembered.
const BUCKETS_MAX: usize = 4096;

impl AlertsPerBucket {
    /// Counts one more alert in a bucket; returns how many there are now.
    pub fn count(&mut self, bucket: i64) -> u32 {
        if BUCKETS_MAX <= self.counts.len() && !self.counts.contains_key(&bucket) {
            let oldest = self.counts.keys().min().copied();
            oldest.and_then(|it| self.counts.remove(&it));
        }
        let count = self.counts.entry(bucket).or_default();
        *count += 1;
        *count
    }

    /// Writes all of it.
    pub fn encode(&self, out: &mut Encoder) {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_unstable();
        out.u64(counts.len() as u64);
        for (bucket, count) in counts {
            out.i64(*bucket);
            out.u64(u64::from(*count));
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let counts = from.list(|from| Some((from.i64()?, from.u64()? as u32)))?;
        Some(Self { counts: counts.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::count::CountWindow;
    use super::super::naive::item;
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const TERMS: Terms = Terms { span: 60 * SECOND, lateness: 120 * SECOND, threshold: 5 };

    fn name(key: KeyHash) -> (Entity, String, bool) {
        (Entity::of_ip([0, 0, 0, key as u8].into()), key.to_string(), false)
    }

    #[test]
    fn slow_attackers_are_found_in_a_flood_of_keys_seen_once() {
        let bounds = Bounds { keys_max: 1000, seeds_max: 1_000_000 };
        let mut table = Table::<CountWindow>::new(TERMS, bounds);
        let (mut number, attackers) = (0, 50_u128);
        for round in 0..5 {
            for attacker in 0..attackers {
                number += 1;
                table.add(attacker, item(number * 100_000, number as u64), || name(attacker));
                for quiet in 0..200 {
                    number += 1;
                    let key = 1000 + (round * attackers + attacker) * 200 + quiet;
                    table.add(key, item(number * 100_000, number as u64), || name(key));
                }
            }
        }
        let mut alerts = Vec::new();
        table.take(&mut alerts);
        assert_eq!((alerts.len(), table.evicted()), (50, 0));
        assert!(alerts.iter().all(|it| it.1.count == 5) && table.len() <= 1000);
    }

    #[test]
    fn without_room_for_seeds_every_loss_is_counted() {
        let mut table = Table::<CountWindow>::new(TERMS, Bounds { keys_max: 100, seeds_max: 0 });
        for key in 0..1000_u128 {
            table.add(key, item(key as i64, key as u64), || name(key));
        }
        assert_eq!(table.evicted(), 1000 - table.len() as u64);
    }

    #[test]
    fn many_keys_do_not_push_out_one_near_its_threshold() {
        let mut table = Table::<CountWindow>::new(TERMS, Bounds { keys_max: 100, seeds_max: 0 });
        for at in 0..4 {
            table.add(7, item(at, at as u64), || name(7));
        }
        for key in 100..10_000_u128 {
            table.add(key, item(key as i64, key as u64), || name(key));
        }
        assert_eq!(table.add(7, item(20_000, 20_000), || name(7)), Added::Changed);
    }

    #[test]
    fn a_snapshot_goes_on_where_it_was_made() {
        let mut table = Table::<CountWindow>::new(TERMS, Bounds { keys_max: 100, seeds_max: 1000 });
        for at in 0..500_u64 {
            table.add(u128::from(at % 140), item(at as i64 * SECOND / 10, at), || name(u128::from(at % 140)));
        }
        table.take(&mut Vec::new());
        let mut bytes = Encoder::default();
        table.encode(&mut bytes);
        let mut again =
            Table::<CountWindow>::decode(&mut Decoder::new(&bytes.into_bytes()), TERMS, table.bounds).unwrap();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for at in 500..900_u64 {
            let key = u128::from(at % 140);
            let added = table.add(key, item(at as i64 * SECOND / 10, at), || name(key));
            assert_eq!(again.add(key, item(at as i64 * SECOND / 10, at), || name(key)), added);
        }
        table.take(&mut left);
        again.take(&mut right);
        assert_eq!(left, right);
        assert!(!left.is_empty());
    }
}
