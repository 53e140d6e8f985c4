//! Keys that were seen once, in 32 bytes each: what becomes of a key that must make room and rests on one event.
//!
//! A flood from millions of addresses pushes the keys of slow attackers out of the table; here each of them is still
//! known when its second event comes, and its window begins with the first.

use std::hash::{DefaultHasher, Hasher};

use model::alert::EvidenceRef;
use model::time::Timestamp;

use super::Terms;
use crate::snapshot::{Decoder, Encoder};

const SHARDS: usize = 256;
const SLOTS_AT_FIRST: usize = 64;

/// Single events by the hash of their key. Bounded; what finds no room is lost and reported.
#[derive(Debug)]
pub struct Seeds {
    shards: Vec<Shard>,
    count: usize,
    count_max: usize,
}

/// Open addressing with linear probing; an empty slot has the hash 0.
#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Slot>,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    event: EvidenceRef,
}

const EMPTY: Slot = Slot { hash: 0, event: EvidenceRef { time: Timestamp(0), id_upper: 0, sequence: 0 } };

fn hash_of(key: u128) -> u64 {
    // SipHash: whoever chooses his addresses cannot make his one event stand for another's.
    let mut hasher = DefaultHasher::new();
    hasher.write_u128(key);
    hasher.finish().max(1)
}

impl Seeds {
    /// Makes room for at most `count_max` keys; memory is taken as they come.
    #[must_use]
    pub fn new(count_max: usize) -> Self {
        Self { shards: Vec::new(), count: 0, count_max }
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keeps the one event of a key; returns whether there was room, with `spared` places left to others. What is too old to
    /// matter at `newest` makes room.
    pub fn put(&mut self, key: u128, event: EvidenceRef, newest: Timestamp, terms: &Terms, spared: usize) -> bool {
        if self.count_max == 0 {
            return false;
        }
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, Shard::default);
        }
        let hash = hash_of(key);
        let shard = &mut self.shards[hash as usize % SHARDS];
        if shard.slots.len() * 7 <= shard.count * 8 {
            let before = shard.count;
            shard.grow(newest.0.saturating_sub(terms.span.saturating_add(terms.lateness)));
            self.count -= before - shard.count;
        }
        if self.count_max <= self.count.saturating_add(spared) {
            return false;
        }
        if shard.put(Slot { hash, event }) {
            self.count += 1;
        }
        true
    }

    /// Takes the event of a key out, if it was kept.
    pub fn take(&mut self, key: u128) -> Option<EvidenceRef> {
        if self.count == 0 {
            return None;
        }
        let hash = hash_of(key);
        let event = self.shards[hash as usize % SHARDS].take(hash)?;
        self.count -= 1;
        Some(event)
    }

    /// Writes all of it.
    pub fn encode(&self, out: &mut Encoder) {
        out.u64(self.count as u64);
        for slot in self.shards.iter().flat_map(|it| &it.slots).filter(|it| it.hash != 0) {
            out.i64(slot.hash as i64);
            out.event(&slot.event);
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(from: &mut Decoder<'_>, count_max: usize) -> Option<Self> {
        let mut seeds = Self::new(count_max);
        let slots = from.list(|from| Some(Slot { hash: from.i64()? as u64, event: from.event()? }))?;
        if !slots.is_empty() {
            seeds.shards.resize_with(SHARDS, Shard::default);
        }
        for slot in slots.into_iter().take(count_max) {
            let shard = &mut seeds.shards[slot.hash as usize % SHARDS];
            if shard.slots.len() * 7 <= shard.count * 8 {
                shard.grow(i64::MIN);
            }
            seeds.count += usize::from(slot.hash != 0 && shard.put(slot));
        }
        Some(seeds)
    }
}

impl Shard {
    fn start_of(&self, hash: u64) -> usize {
        // The lower bits choose the shard.
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    /// Puts an event in; returns whether its key is new.
    fn put(&mut self, slot: Slot) -> bool {
        let mut at = self.start_of(slot.hash);
        loop {
            if self.slots[at].hash == 0 {
                self.slots[at] = slot;
                self.count += 1;
                return true;
            }
            if self.slots[at].hash == slot.hash {
                self.slots[at] = slot;
                return false;
            }
            at = (at + 1) % self.slots.len();
        }
    }

    fn take(&mut self, hash: u64) -> Option<EvidenceRef> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.start_of(hash);
        while self.slots[at].hash != hash {
            if self.slots[at].hash == 0 {
                return None;
            }
            at = (at + 1) % self.slots.len();
        }
        let event = self.slots[at].event;
        self.close_gap(at);
        self.count -= 1;
        Some(event)
    }

    /// Moves the slots behind a freed one forward, so that none becomes unreachable.
    ///
    /// Source: Knuth, The Art of Computer Programming, volume 3, section 6.4, algorithm R.
    fn close_gap(&mut self, mut gap: usize) {
        let length = self.slots.len();
        let mut at = gap;
        loop {
            at = (at + 1) % length;
            if self.slots[at].hash == 0 {
                break;
            }
            let start = self.start_of(self.slots[at].hash);
            let distance_to_gap = (at + length - gap) % length;
            let distance_to_start = (at + length - start) % length;
            if distance_to_gap <= distance_to_start {
                self.slots[gap] = self.slots[at];
                gap = at;
            }
        }
        self.slots[gap] = EMPTY;
    }

    /// Drops what is not later than `expired`, and makes room where that is not enough.
    fn grow(&mut self, expired: i64) {
        let kept = self.slots.iter().filter(|it| it.hash != 0 && expired < it.event.time.0).count();
        let length = if kept * 4 < self.slots.len() * 3 {
            self.slots.len()
        } else {
            (self.slots.len() * 5 / 4).max(SLOTS_AT_FIRST)
        };
        let mut grown = vec![EMPTY; length];
        std::mem::swap(&mut self.slots, &mut grown);
        self.count = 0;
        for slot in grown.into_iter().filter(|it| it.hash != 0 && expired < it.event.time.0) {
            self.put(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms = Terms { span: 10, lateness: 10, threshold: 5 };

    fn event(time: i64) -> EvidenceRef {
        EvidenceRef { time: Timestamp(time), id_upper: 1, sequence: 2 }
    }

    #[test]
    fn a_slot_takes_32_bytes() {
        assert_eq!(size_of::<Slot>(), 32);
    }

    #[test]
    fn what_is_over_the_limit_is_refused() {
        let mut seeds = Seeds::new(100);
        let kept = (0..150).filter(|it| seeds.put(*it, event(0), Timestamp(0), &TERMS, 0)).count();
        assert_eq!((kept, seeds.len()), (100, 100));
        assert!(seeds.take(3).is_some() && seeds.put(149, event(0), Timestamp(0), &TERMS, 0));
    }

    #[test]
    fn what_is_too_old_makes_room() {
        let mut seeds = Seeds::new(1_000_000);
        for key in 0..100_000 {
            seeds.put(key, event(key as i64 / 100), Timestamp(key as i64 / 100), &TERMS, 0);
        }
        assert!(seeds.len() < 40_000, "{}", seeds.len());
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_map(steps in proptest::collection::vec((0_u128..200, any::<bool>()), 0..2000)) {
            let (mut seeds, mut map) = (Seeds::new(1000), HashMap::new());
            for (at, (key, is_put)) in steps.iter().enumerate() {
                if *is_put {
                    seeds.put(*key, event(at as i64), Timestamp(0), &TERMS, 0);
                    map.insert(*key, event(at as i64));
                } else {
                    prop_assert_eq!(seeds.take(*key), map.remove(key));
                }
                prop_assert_eq!(seeds.len(), map.len());
            }
            let mut bytes = Encoder::default();
            seeds.encode(&mut bytes);
            let mut again = Seeds::decode(&mut Decoder::new(&bytes.into_bytes()), 1000).unwrap();
            for (key, event) in map {
                prop_assert_eq!(again.take(key), Some(event));
            }
        }
    }
}
