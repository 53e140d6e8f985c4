//! Folding: what single-event rules and findings say of one entity in one minute is one alert.
//!
//! Such events are never late: an old one is counted in its own minute. What is dropped from memory and counted again
//! later begins a new incarnation, which the store adds to the one before.

use std::sync::Arc;

use hashbrown::HashMap;
use model::alert::EvidenceRef;
use model::limits::EVIDENCE_EACH_END;
use model::severity::Severity;
use model::time::Timestamp;

use crate::rules::RuleInfo;
use crate::snapshot::{Decoder, Encoder};
use crate::window::table::{KeyHash, Named};
use crate::window::{Counted, cut_evidence};

/// The length of a bucket of single-event rules, in nanoseconds.
pub const BUCKET: i64 = 60_000_000_000;
/// How many alerts are kept growing in memory. The longest untouched make room; each takes some 400 bytes.
const FOLDED_MAX: usize = 65_536;

/// What is folded into one alert: rule, key and bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldKey {
    /// The number of the rule, in a numbering of the engine's.
    pub rule: u32,
    /// The key.
    pub key: KeyHash,
    /// The bucket.
    pub bucket: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Folded {
    named: Box<Named>,
    /// What raised it, when that is no rule of ours.
    info: Option<Arc<RuleInfo>>,
    count: u64,
    /// The first and the last few events in order; all of them while there are few.
    entries: Vec<EvidenceRef>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    severity: Option<Severity>,
    touched: u64,
    is_changed: bool,
}

/// The alerts of single-event rules that may still grow.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Folder {
    alerts: HashMap<FoldKey, Folded>,
    changed: Vec<FoldKey>,
}

/// What an alert of a [`Folder`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedAlert {
    /// What it is of.
    pub key: FoldKey,
    /// Whom it is about.
    pub named: Named,
    /// What raised it, when that is no rule of ours.
    pub info: Option<Arc<RuleInfo>>,
    /// Its events.
    pub counted: Counted,
    /// The worst severity that an event brought.
    pub severity: Option<Severity>,
}

impl Folder {
    /// Counts an event into its alert. `name` says whom it is about when the alert is new, and what raised it if that is no
    /// rule of ours.
    pub fn add(
        &mut self,
        key: FoldKey,
        event: EvidenceRef,
        severity: Option<Severity>,
        name: impl FnOnce() -> (Named, Option<Arc<RuleInfo>>),
    ) {
        if FOLDED_MAX <= self.alerts.len() && !self.alerts.contains_key(&key) {
            self.make_room();
        }
        let folded = self.alerts.entry(key).or_insert_with(|| {
            let (named, info) = name();
            Folded {
                named: Box::new(named),
                info,
                count: 0,
                entries: Vec::with_capacity(1),
                first_seen: event.time,
                last_seen: event.time,
                severity: None,
                touched: 0,
                is_changed: false,
            }
        });
        folded.count += 1;
        folded.touched = event.sequence;
        folded.first_seen = folded.first_seen.min(event.time);
        folded.last_seen = folded.last_seen.max(event.time);
        folded.severity = folded.severity.max(severity);
        let at = folded.entries.partition_point(|it| *it <= event);
        folded.entries.insert(at, event);
        if 2 * EVIDENCE_EACH_END < folded.entries.len() {
            folded.entries.remove(EVIDENCE_EACH_END);
        }
        if !folded.is_changed {
            folded.is_changed = true;
            self.changed.push(key);
        }
    }

    /// Takes the alerts that are new or changed.
    pub fn take(&mut self, out: &mut Vec<FoldedAlert>) {
        for key in self.changed.drain(..) {
            let Some(folded) = self.alerts.get_mut(&key) else { continue };
            folded.is_changed = false;
            let events = || folded.entries.iter().copied();
            let counted = Counted {
                bucket: key.bucket,
                completed: folded.first_seen,
                count: folded.count,
                first_seen: folded.first_seen,
                last_seen: folded.last_seen,
                evidence: cut_evidence(events(), events().rev(), folded.count),
            };
            let (named, info) = (Named::clone(&folded.named), folded.info.clone());
            out.push(FoldedAlert { key, named, info, counted, severity: folded.severity });
        }
    }

    /// Whether there are alerts to take.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    fn make_room(&mut self) {
        let mut touched: Vec<_> =
            self.alerts.iter().filter(|it| !it.1.is_changed).map(|(key, it)| (it.touched, *key)).collect();
        let evicted = (FOLDED_MAX / 8).min(touched.len());
        if evicted == 0 {
            return;
        }
        touched.select_nth_unstable(evicted - 1);
        for (_, key) in touched.into_iter().take(evicted) {
            self.alerts.remove(&key);
        }
    }

    /// Writes the alerts of the rules that `number_of` gives a number; none may wait to be taken.
    pub fn encode(&self, out: &mut Encoder, name_of: impl Fn(u32) -> Option<String>) {
        let known: Vec<_> =
            self.alerts.iter().filter_map(|(key, folded)| Some((name_of(key.rule)?, key, folded))).collect();
        out.u64(known.len() as u64);
        for (rule, key, folded) in known {
            out.text(&rule);
            out.u128(key.key);
            out.i64(key.bucket);
            folded.named.encode(out);
            out.flag(folded.info.is_some());
            if let Some(info) = &folded.info {
                info.encode(out);
            }
            out.u64(folded.count);
            out.span(Some((folded.first_seen, folded.last_seen)));
            out.u64(folded.severity.map_or(0, |it| u64::from(it.rank()) + 1));
            out.u64(folded.touched);
            out.events(&folded.entries);
        }
    }

    /// Reads what [`Self::encode`] wrote; alerts of rules that are gone are left out.
    pub fn decode(from: &mut Decoder<'_>, mut number_of: impl FnMut(&str) -> Option<u32>) -> Option<Self> {
        let mut folder = Self::default();
        let count = from.u64()?;
        for _ in 0..count {
            let rule = number_of(&from.text()?);
            let (key, bucket) = (from.u128()?, from.i64()?);
            let named = Box::new(Named::decode(from)?);
            let info = if from.flag()? { Some(Arc::new(RuleInfo::decode(from)?)) } else { None };
            let count = from.u64()?;
            let (first_seen, last_seen) = from.span()??;
            let severity = from.u64()?.checked_sub(1).and_then(|it| Severity::from_rank(it as u8));
            let (touched, entries) = (from.u64()?, from.events()?);
            let folded =
                Folded { named, info, count, entries, first_seen, last_seen, severity, touched, is_changed: false };
            if let Some(rule) = rule {
                folder.alerts.insert(FoldKey { rule, key, bucket }, folded);
            }
        }
        Some(folder)
    }
}

#[cfg(test)]
mod tests {
    use model::entity::Entity;

    use super::*;

    fn event(time: i64, sequence: u64) -> EvidenceRef {
        EvidenceRef { time: Timestamp(time), id_upper: 0, sequence }
    }

    fn named() -> (Named, Option<Arc<RuleInfo>>) {
        let entity = Entity::of_ip([1, 2, 3, 4].into());
        (Named { entity, key: "k".into(), incarnation: 1, is_synthetic: false }, None)
    }

    #[test]
    fn events_of_one_bucket_are_one_alert_whatever_their_order() {
        let key = FoldKey { rule: 1, key: 2, bucket: 0 };
        let taken = |order: &[u64]| {
            let mut folder = Folder::default();
            order.iter().for_each(|it| folder.add(key, event(*it as i64, *it), None, named));
            let mut out = Vec::new();
            folder.take(&mut out);
            out
        };
        let forward: Vec<u64> = (0..50).collect();
        let mut backward = forward.clone();
        backward.reverse();
        assert_eq!(taken(&forward), taken(&backward));
        let alert = &taken(&forward)[0];
        assert_eq!((alert.counted.count, alert.counted.evidence.len()), (50, 20));
        assert_eq!(alert.counted.evidence[10], event(40, 40));
    }

    #[test]
    fn the_alerts_in_memory_are_bounded() {
        let (mut folder, mut out) = (Folder::default(), Vec::new());
        for number in 0..FOLDED_MAX as u64 * 2 {
            let key = FoldKey { rule: 1, key: u128::from(number), bucket: 0 };
            folder.add(key, event(0, number), None, named);
            folder.take(&mut out);
            out.clear();
        }
        assert!(folder.alerts.len() <= FOLDED_MAX);
    }
}
