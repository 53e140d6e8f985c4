//! Which alerts have been told of, and how many new ones each rule may raise in one bucket and in one hour.
//!
//! Past the limit of a bucket further entities of a rule and bucket go into one alert "many entities": no attacker
//! chooses how much we write. Since a sender chooses the times of his events, and so the buckets, there is a second limit
//! by hours of receipt. Who comes first is the order of the log.

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
/// How many times the limit of a bucket a rule may raise in an hour of receipt: 50,000 by default.
const HOUR_TIMES: u32 = 25;
/// An hour, in nanoseconds.
const HOUR: i64 = 3_600_000_000_000;
/// How many alerts "many entities" are kept growing; the oldest are begun anew.
const MANY_MAX: usize = 10_000;
/// How many names a "many entities" alert shows.
const SAMPLE_MAX: usize = 10;

/// An alert that asks to be told of.
#[derive(Clone, Copy, Debug)]
pub struct Raised<'a> {
    /// Its id.
    pub id: AlertId,
    /// The name under which it is bounded.
    pub rule: &'a str,
    /// What its entity is called.
    pub name: &'a str,
    /// Its events.
    pub counted: &'a Counted,
    /// The log position at which counting began.
    pub incarnation: u64,
    /// The latest receipt so far, where events have one.
    pub received: Option<Timestamp>,
}

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
    /// The hour of receipt for which it stands; `None` for a bucket of event time.
    pub since: Option<Timestamp>,
}

impl Many {
    /// What stands for its key.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        if self.since.is_some() { "many entities in an hour" } else { "many entities" }
    }
}

#[derive(Clone, Copy, Debug)]
struct Known {
    touched: u64,
    /// For one of too many: how many of its events the "many entities" alert has counted, and which that is.
    folded: Option<(u64, Gathering)>,
}

/// What a "many entities" alert gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Gathering {
    /// What a bucket of event time has too much of.
    Bucket(i64),
    /// What an hour of receipt has too much of.
    Hour(i64),
}

impl Gathering {
    fn encode(self, out: &mut Encoder) {
        let (is_hour, number) = match self {
            Self::Bucket(number) => (false, number),
            Self::Hour(number) => (true, number),
        };
        out.flag(is_hour);
        out.i64(number);
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        Some(if from.flag()? { Self::Hour(from.i64()?) } else { Self::Bucket(from.i64()?) })
    }
}

/// The alerts told of.
#[derive(Debug, Default)]
pub struct Registry {
    known: HashMap<AlertId, Known>,
    per_rule: HashMap<String, AlertsPerBucket>,
    /// The hour of receipt that counts, and how many each rule has raised in it.
    hour: (i64, HashMap<String, u32>),
    many: HashMap<(String, Gathering), Many>,
    clock: u64,
}

impl Registry {
    /// Decides about an alert. `limit` is how many new ones a rule may raise in a bucket.
    pub fn admit(&mut self, raised: &Raised<'_>, limit: u32) -> Admission {
        self.clock += 1;
        let count = raised.counted.count;
        if let Some(known) = self.known.get_mut(&raised.id) {
            known.touched = self.clock;
            let Some((folded, gathering)) = known.folded else { return Admission::Known };
            known.folded = Some((count, gathering));
            return self.fold(raised, gathering, folded, false);
        }
        self.make_room();
        let gathering = self.excess(raised, limit);
        let folded = gathering.map(|it| (count, it));
        self.known.insert(raised.id, Known { touched: self.clock, folded });
        gathering.map_or(Admission::New, |it| self.fold(raised, it, 0, true))
    }

    /// Counts a new alert; returns what gathers it if it is one too many.
    fn excess(&mut self, raised: &Raised<'_>, limit: u32) -> Option<Gathering> {
        let bucket = raised.counted.bucket;
        let number = match self.per_rule.get_mut(raised.rule) {
            Some(buckets) => buckets.count(bucket),
            None => self.per_rule.entry(raised.rule.to_owned()).or_default().count(bucket),
        };
        if limit < number {
            return Some(Gathering::Bucket(bucket));
        }
        let hour = raised.received?.0.div_euclid(HOUR);
        if hour != self.hour.0 {
            self.hour = (hour, HashMap::new());
        }
        let number = self.hour.1.entry_ref(raised.rule).or_default();
        *number = number.saturating_add(1);
        (limit.saturating_mul(HOUR_TIMES) < *number).then_some(Gathering::Hour(hour))
    }

    fn fold(&mut self, raised: &Raised<'_>, gathering: Gathering, before: u64, is_new_entity: bool) -> Admission {
        let counted = raised.counted;
        let many = self.many.entry((raised.rule.to_owned(), gathering)).or_insert_with(|| Many {
            counted: Counted { count: 0, evidence: Vec::new(), ..counted.clone() },
            entities: 0,
            sample: Vec::new(),
            is_new: true,
            incarnation: raised.incarnation,
            since: match gathering {
                Gathering::Bucket(_) => None,
                Gathering::Hour(hour) => Some(Timestamp(hour.saturating_mul(HOUR))),
            },
        });
        many.entities += u64::from(is_new_entity);
        if is_new_entity && many.sample.len() < SAMPLE_MAX {
            many.sample.push(raised.name.to_owned());
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
        if MANY_MAX < self.many.len() {
            let mut begun: Vec<u64> = self.many.values().map(|it| it.incarnation).collect();
            let (_, &mut middle, _) = begun.select_nth_unstable(MANY_MAX / 4);
            self.many.retain(|_, it| middle < it.incarnation);
        }
    }

    /// Writes all of it.
    pub fn encode(&self, out: &mut Encoder) {
        out.u64(self.clock);
        out.u64(self.known.len() as u64);
        for (id, known) in &self.known {
            out.u128(id.0);
            out.u64(known.touched);
            out.flag(known.folded.is_some());
            if let Some((folded, gathering)) = known.folded {
                out.u64(folded);
                gathering.encode(out);
            }
        }
        out.u64(self.per_rule.len() as u64);
        for (rule, buckets) in &self.per_rule {
            out.text(rule);
            buckets.encode(out);
        }
        out.i64(self.hour.0);
        out.u64(self.hour.1.len() as u64);
        for (rule, count) in &self.hour.1 {
            out.text(rule);
            out.u64(u64::from(*count));
        }
        out.u64(self.many.len() as u64);
        for ((rule, gathering), many) in &self.many {
            out.text(rule);
            gathering.encode(out);
            out.i64(many.counted.bucket);
            out.i64(many.counted.completed.0);
            out.u64(many.counted.count);
            out.span(Some((many.counted.first_seen, many.counted.last_seen)));
            out.events(&many.counted.evidence);
            out.u64(many.entities);
            out.u64(many.sample.len() as u64);
            many.sample.iter().for_each(|it| out.text(it));
            out.flag(many.is_new);
            out.u64(many.incarnation);
            out.span(many.since.map(|it| (it, it)));
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let clock = from.u64()?;
        let known = from.list(|from| {
            let (id, touched) = (AlertId(from.u128()?), from.u64()?);
            let folded = if from.flag()? { Some((from.u64()?, Gathering::decode(from)?)) } else { None };
            Some((id, Known { touched, folded }))
        })?;
        let per_rule = from.list(|from| Some((from.text()?, AlertsPerBucket::decode(from)?)))?;
        let hour = from.i64()?;
        let in_hour = from.list(|from| Some((from.text()?, from.u64()? as u32)))?;
        let many = from.list(|from| {
            let (rule, gathering, bucket) = (from.text()?, Gathering::decode(from)?, from.i64()?);
            let (completed, count) = (Timestamp(from.i64()?), from.u64()?);
            let (first_seen, last_seen) = from.span()??;
            let counted = Counted { bucket, completed, count, first_seen, last_seen, evidence: from.events()? };
            let (entities, sample) = (from.u64()?, from.list(Decoder::text)?);
            let (is_new, incarnation, since) = (from.flag()?, from.u64()?, from.span()?.map(|it| it.0));
            Some(((rule, gathering), Many { counted, entities, sample, is_new, incarnation, since }))
        })?;
        Some(Self {
            known: known.into_iter().collect(),
            per_rule: per_rule.into_iter().collect(),
            hour: (hour, in_hour.into_iter().collect()),
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

    fn raised<'a>(id: u128, name: &'a str, counted: &'a Counted) -> Raised<'a> {
        Raised { id: AlertId(id), rule: "r", name, counted, incarnation: 1, received: None }
    }

    #[test]
    fn past_the_limit_entities_share_one_alert_that_counts_them() {
        let mut registry = Registry::default();
        let mut admit = |id: u128, count, at| registry.admit(&raised(id, &id.to_string(), &counted(count, at)), 2);
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
            registry.admit(&raised(id, "", &counted), 2);
        }
        assert!(registry.known.len() <= KNOWN_MAX);
    }

    #[test]
    fn an_hour_of_receipt_has_a_limit_whatever_times_events_bear() {
        let mut registry = Registry::default();
        let mut admit = |id: u128, hour: i64| {
            let counted = Counted { bucket: id as i64, ..counted(1, id as i64) };
            let received = Some(Timestamp(hour * HOUR + 5));
            registry.admit(&Raised { received, ..raised(id, "a name", &counted) }, 2)
        };
        assert!((0..50).all(|it| admit(it, 7) == Admission::New));
        let Admission::Many(many) = admit(50, 7) else { panic!("the limit is 25 times that of a bucket") };
        assert_eq!((many.since, many.entities, many.is_new), (Some(Timestamp(7 * HOUR)), 1, true));
        let Admission::Many(many) = admit(51, 7) else { panic!("so is the next") };
        assert_eq!((many.entities, many.is_new), (2, false));
        assert_eq!((admit(3, 7), admit(52, 8)), (Admission::Known, Admission::New));
    }

    #[test]
    fn a_snapshot_knows_the_same_alerts() {
        let mut registry = Registry::default();
        let counted = counted(1, 1);
        for id in 0..60 {
            registry.admit(&Raised { received: Some(Timestamp(9)), ..raised(id, "a name", &counted) }, 2);
        }
        let mut bytes = Encoder::default();
        registry.encode(&mut bytes);
        let mut again = Registry::decode(&mut Decoder::new(&bytes.into_bytes())).unwrap();
        for id in 50..70 {
            let next = raised(id, "a name", &counted);
            assert_eq!(again.admit(&next, 2), registry.admit(&next, 2));
        }
    }
}
