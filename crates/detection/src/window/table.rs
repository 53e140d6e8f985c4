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
/// The share of the keys that one neighbourhood may have while it makes no room for others, as a divisor. A sixteenth is more
/// than an office or a provider's exchange has at work at a time, and leaves most of a table to all others.
const NEIGHBOURS_PART: usize = 16;
/// The share of the seeds that is kept for keys of neighbourhoods that are not crowded, as a divisor.
const SEEDS_SPARED_PART: usize = 8;
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

/// What speaks for or against a key when room is made; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked {
    standing: Standing,
    /// How many events it rests on.
    weight: u64,
    /// The last event that touched it: no two keys have the same.
    touched: u64,
    key: KeyHash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Too old to matter.
    Dead,
    /// Its neighbourhood has more keys than its share, and this is one of the least.
    Crowded,
    /// One like any other.
    Single,
}

/// What keys of addresses have in common that one sender may use at will: the first 16 bits of an IPv4 address, the first 48 of
/// an IPv6 address. Keys that are digests have no neighbours: what looks like a prefix there is random.
const fn neighbourhood_of(key: KeyHash) -> u128 {
    const IPV4_IN_IPV6: u128 = 0xffff;
    if key >> 32 == IPV4_IN_IPV6 { key >> 16 } else { key >> 80 << 80 }
}

/// Marks what neighbourhoods have beyond `share`: the fewest events first, then the longest untouched.
fn mark_crowded(ranked: &mut [Ranked], share: usize) {
    let mut counts: HashMap<u128, usize> = HashMap::new();
    let is_alive = |it: &&mut Ranked| it.standing != Standing::Dead;
    ranked.iter_mut().filter(is_alive).for_each(|it| *counts.entry(neighbourhood_of(it.key)).or_default() += 1);
    counts.retain(|_, count| share < *count);
    if counts.is_empty() {
        return;
    }
    let is_of_crowd = |it: &&mut Ranked| counts.contains_key(&neighbourhood_of(it.key));
    let mut crowd: Vec<&mut Ranked> = ranked.iter_mut().filter(is_alive).filter(is_of_crowd).collect();
    crowd.sort_unstable();
    for it in crowd {
        let Some(left) = counts.get_mut(&neighbourhood_of(it.key)) else { continue };
        if share < *left {
            it.standing = Standing::Crowded;
            *left -= 1;
        }
    }
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

    /// Evicts a quarter of the keys: first those too old to matter, then what a neighbourhood has beyond its share, then
    /// those with the fewest events, then the longest untouched. One that rests on a single event becomes a seed; a key with
    /// an alert to take stays.
    fn make_room(&mut self) {
        let dead_before = self.newest.0.saturating_sub(2 * self.terms.span.saturating_add(self.terms.lateness));
        let rank = |key: KeyHash, slot: &Slot<W>| {
            let is_dead = slot.window.newest().0 < dead_before;
            let (standing, weight) =
                if is_dead { (Standing::Dead, 0) } else { (Standing::Single, slot.window.weight()) };
            Ranked { standing, weight, touched: slot.touched, key }
        };
        let mut ranked: Vec<_> =
            self.keys.iter().filter(|it| !it.1.is_changed).map(|(key, slot)| rank(*key, slot)).collect();
        let evicted = (self.keys.len() / EVICTED_PART).max(1).min(ranked.len());
        if evicted == 0 {
            return;
        }
        mark_crowded(&mut ranked, (self.bounds.keys_max / NEIGHBOURS_PART).max(1));
        ranked.select_nth_unstable(evicted - 1);
        for Ranked { standing, key, .. } in ranked.into_iter().take(evicted) {
            let Some(slot) = self.keys.remove(&key) else { continue };
            let is_kept = standing == Standing::Dead || self.keep_seed(key, standing, &slot.window);
            self.evicted += u64::from(!is_kept);
        }
    }

    /// Keeps the one event of an evicted key, if there is room for its kind.
    fn keep_seed(&mut self, key: KeyHash, standing: Standing, window: &W) -> bool {
        let spared = if standing == Standing::Crowded { self.seeds_max() / SEEDS_SPARED_PART } else { 0 };
        window.only_event().is_some_and(|it| self.seeds.put(key, it, self.newest, &self.terms, spared))
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
    use std::net::IpAddr;

    use super::super::naive::item;
    use super::super::sparse::Sparse;
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

    /// Ten slow attackers elsewhere, while `noisy` addresses send `each` events: how many attackers are found.
    #[track_caller]
    fn check_beside(noisy: impl Fn(u64) -> IpAddr, each: u64, seeds_max: usize) {
        let bounds = Bounds { keys_max: 6_554, seeds_max };
        let key_of = |address: IpAddr| match address {
            IpAddr::V4(it) => it.to_ipv6_mapped().to_bits(),
            IpAddr::V6(it) => it.to_bits(),
        };
        let attackers: Vec<u128> = (0..10).map(|it| key_of(IpAddr::from([198, 18, it, 1]))).collect();
        let mut table = Table::<Sparse<CountWindow>>::new(TERMS, bounds);
        // A tenth of the bound of keys, and of ten million addresses.
        let (mut number, noise) = (0, 1_000_000 / each);
        let mut add = |key: u128| {
            number += 1;
            table.add(key, item(number * 50_000, number as u64), || name(key));
        };
        for at in 0..noise {
            (0..each).for_each(|_| add(key_of(noisy(at))));
            if at % (noise / 5) == noise / 10 {
                attackers.iter().for_each(|it| add(*it));
            }
        }
        let mut alerts = Vec::new();
        table.take(&mut alerts);
        let found: std::collections::BTreeSet<_> = alerts.iter().map(|it| it.0.key.clone()).collect();
        let expected: std::collections::BTreeSet<_> = attackers.iter().map(u128::to_string).collect();
        assert_eq!(found, expected);
        assert!(table.len() <= bounds.keys_max && table.seeds.len() <= seeds_max);
    }

    #[test]
    fn addresses_without_number_of_one_network_evict_themselves_and_not_others() {
        let of_one_64 = |at: u64| IpAddr::from(((0x2001_0db8_u128 << 96) | u128::from(at)).to_be_bytes());
        let of_one_48 = |at: u64| IpAddr::from(((0x2001_0db8_u128 << 96) | (u128::from(at) << 60)).to_be_bytes());
        let of_one_16 = |at: u64| IpAddr::from([203, 0, (at >> 8) as u8, at as u8]);
        for each in 1..=4 {
            check_beside(of_one_64, each, 1_200_000);
            // With next to no room for seeds.
            check_beside(of_one_64, each, 10_000);
            check_beside(of_one_48, each, 10_000);
        }
        check_beside(of_one_16, 3, 10_000);
    }

    #[test]
    fn millions_of_addresses_all_over_leave_the_slow_attackers_to_be_found() {
        let anywhere = |at: u64| IpAddr::from((at as u32).wrapping_mul(0x9e37_79b1).to_be_bytes());
        check_beside(anywhere, 1, 1_200_000);
    }

    #[test]
    fn a_neighbourhood_within_its_share_is_treated_like_any_other() {
        let ranked = |key: u128, weight| Ranked { standing: Standing::Single, weight, touched: key as u64, key };
        let mut few: Vec<_> = (0..4).map(|it| ranked(it, 1)).collect();
        mark_crowded(&mut few, 4);
        assert!(few.iter().all(|it| it.standing == Standing::Single));
        let mut many: Vec<_> = (0..6).map(|it| ranked(it, 10 - it as u64)).collect();
        mark_crowded(&mut many, 4);
        let crowded: Vec<_> = many.iter().filter(|it| it.standing == Standing::Crowded).map(|it| it.key).collect();
        assert_eq!(crowded, [4, 5]);
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
