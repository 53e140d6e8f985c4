//! Which alerts have been told of, and how many new ones each rule may raise in one bucket.
//!
//! Past the limit further entities of a rule and bucket go into one alert "many entities": no attacker chooses how
//! much we write. Who comes first is the order of the log.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use model::alert::EvidenceRef;
use model::id::AlertId;
use model::limits::EVIDENCE_EACH_END;
use model::time::Timestamp;

use crate::snapshot::{Decoder, Encoder};
use crate::window::table::AlertsPerBucket;
use crate::window::{Counted, cut_evidence};

/// How many alerts are remembered; the longest untouched are forgotten. A forgotten one that changes again is told of
/// as new, and the store knows better.
const KNOWN_MAX: usize = 200_000;
/// How many names a "many entities" alert shows.
const SAMPLE_MAX: usize = 10;

/// What is to be done with an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Tell of it; it is new.
    New,
    /// Tell of it again.
    Known,
    /// It is one of too many: tell of this one instead.
    Many(Box<Many>),
}

/// What an alert "many entities" says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Many {
    /// The events of all of them.
    pub counted: Counted,
    /// How many entities there are.
    pub entities: u64,
    /// The first few of them.
    pub sample: Vec<String>,
    /// Whether it is new.
    pub is_new: bool,
    /// The log position at which it began.
    pub incarnation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    touched: u64,
    /// For one of too many: how many of its events the "many entities" alert has counted.
    folded: Option<u64>,
}

/// The alerts told of.
#[derive(Debug, Default)]
pub struct Registry {
    known: HashMap<AlertId, Known>,
    per_rule: HashMap<String, AlertsPerBucket>,
    many: HashMap<(String, i64), Many>,
    clock: u64,
}

impl Registry {
    /// Decides about an alert of `rule` whose entity is called `name`.
    pub fn admit(
        &mut self,
        id: AlertId,
        rule: &str,
        name: &str,
        counted: &Counted,
        incarnation: u64,
        limit: u32,
    ) -> Admission {
        self.clock += 1;
        if let Some(known) = self.known.get_mut(&id) {
            known.touched = self.clock;
            let Some(folded) = known.folded else { return Admission::Known };
            known.folded = Some(counted.count);
            return self.fold(rule, name, counted, folded, incarnation, false);
        }
        self.make_room();
        let number = match self.per_rule.get_mut(rule) {
            Some(buckets) => buckets.count(counted.bucket),
            None => self.per_rule.entry(rule.to_owned()).or_default().count(counted.bucket),
        };
        let is_over = limit < number;
        self.known.insert(id, Known { touched: self.clock, folded: is_over.then_some(counted.count) });
        if is_over { self.fold(rule, name, counted, 0, incarnation, true) } else { Admission::New }
    }

    fn fold(
        &mut self,
        rule: &str,
        name: &str,
        counted: &Counted,
        before: u64,
        incarnation: u64,
        is_new_entity: bool,
    ) -> Admission {
        let many = self.many.entry((rule.to_owned(), counted.bucket)).or_insert_with(|| Many {
            counted: Counted { count: 0, evidence: Vec::new(), ..counted.clone() },
            entities: 0,
            sample: Vec::new(),
            is_new: true,
            incarnation,
        });
        many.entities += u64::from(is_new_entity);
        if is_new_entity && many.sample.len() < SAMPLE_MAX {
            many.sample.push(name.to_owned());
        }
        let so_far = &mut many.counted;
        so_far.count += counted.count.saturating_sub(before);
        so_far.completed = so_far.completed.min(counted.completed);
        so_far.first_seen = so_far.first_seen.min(counted.first_seen);
        so_far.last_seen = so_far.last_seen.max(counted.last_seen);
        let all: BTreeSet<EvidenceRef> = so_far.evidence.iter().chain(&counted.evidence).copied().collect();
        let shown = if all.len() <= 2 * EVIDENCE_EACH_END { all.len() as u64 } else { u64::MAX };
        so_far.evidence = cut_evidence(all.iter().copied(), all.iter().rev().copied(), shown);
        let told = many.clone();
        many.is_new = false;
        Admission::Many(Box::new(told))
    }

    fn make_room(&mut self) {
        if self.known.len() < KNOWN_MAX {
            return;
        }
        let mut touched: Vec<u64> = self.known.values().map(|it| it.touched).collect();
        let (_, &mut middle, _) = touched.select_nth_unstable(KNOWN_MAX / 4);
        self.known.retain(|_, it| middle < it.touched);
        let newest = self.many.keys().map(|it| it.1).max().unwrap_or_default();
        if 10_000 < self.many.len() {
            self.many.retain(|key, _| newest == key.1);
        }
    }

    /// Writes all of it.
    pub fn encode(&self, out: &mut Encoder) {
        out.u64(self.clock);
        out.u64(self.known.len() as u64);
        for (id, known) in &self.known {
            out.u128(id.0);
            out.u64(known.touched);
            out.u64(known.folded.map_or(0, |it| it.saturating_add(1)));
        }
        out.u64(self.per_rule.len() as u64);
        for (rule, buckets) in &self.per_rule {
            out.text(rule);
            buckets.encode(out);
        }
        out.u64(self.many.len() as u64);
        for ((rule, bucket), many) in &self.many {
            out.text(rule);
            out.i64(*bucket);
            out.i64(many.counted.completed.0);
            out.u64(many.counted.count);
            out.span(Some((many.counted.first_seen, many.counted.last_seen)));
            out.events(&many.counted.evidence);
            out.u64(many.entities);
            out.u64(many.sample.len() as u64);
            many.sample.iter().for_each(|it| out.text(it));
            out.flag(many.is_new);
            out.u64(many.incarnation);
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let clock = from.u64()?;
        let known = from.list(|from| {
            let (id, touched, folded) = (AlertId(from.u128()?), from.u64()?, from.u64()?);
            Some((id, Known { touched, folded: folded.checked_sub(1) }))
        })?;
        let per_rule = from.list(|from| Some((from.text()?, AlertsPerBucket::decode(from)?)))?;
        let many = from.list(|from| {
            let (rule, bucket) = (from.text()?, from.i64()?);
            let (completed, count) = (Timestamp(from.i64()?), from.u64()?);
            let (first_seen, last_seen) = from.span()??;
            let counted = Counted { bucket, completed, count, first_seen, last_seen, evidence: from.events()? };
            let (entities, sample) = (from.u64()?, from.list(Decoder::text)?);
            let many = Many { counted, entities, sample, is_new: from.flag()?, incarnation: from.u64()? };
            Some(((rule, bucket), many))
        })?;
        Some(Self {
            known: known.into_iter().collect(),
            per_rule: per_rule.into_iter().collect(),
            many: many.into_iter().collect(),
            clock,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(count: u64, at: i64) -> Counted {
        let event = EvidenceRef { time: Timestamp(at), id_upper: 0, sequence: at as u64 };
        Counted {
            bucket: 3,
            completed: event.time,
            count,
            first_seen: event.time,
            last_seen: event.time,
            evidence: vec![event],
        }
    }

    #[test]
    fn past_the_limit_entities_share_one_alert_that_counts_them() {
        let mut registry = Registry::default();
        let mut admit =
            |id: u128, count, at| registry.admit(AlertId(id), "r", &id.to_string(), &counted(count, at), 1, 2);
        assert_eq!(
            (admit(1, 5, 1), admit(2, 5, 2), admit(1, 6, 3)),
            (Admission::New, Admission::New, Admission::Known)
        );
        let Admission::Many(many) = admit(3, 5, 4) else { panic!("the third is one too many") };
        assert_eq!((many.is_new, many.entities, many.counted.count), (true, 1, 5));
        let Admission::Many(many) = admit(3, 9, 5) else { panic!("it stays one too many") };
        assert_eq!(
            (many.is_new, many.entities, many.counted.count, many.sample.as_slice()),
            (false, 1, 9, &["3".to_owned()][..])
        );
        let Admission::Many(many) = admit(4, 5, 6) else { panic!("so is the fourth") };
        assert_eq!((many.entities, many.counted.count, many.counted.evidence.len()), (2, 14, 3));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut registry = Registry::default();
        for id in 0..KNOWN_MAX as u128 * 2 {
            let counted = Counted { bucket: id as i64, ..counted(1, 1) };
            registry.admit(AlertId(id), "r", "", &counted, 1, 2);
        }
        assert!(registry.known.len() <= KNOWN_MAX);
    }
}
