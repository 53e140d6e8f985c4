//! The engine: events in the order of the log go in, changed alerts come out.
//!
//! The stages of one event: findings pass through; rules match; a match is folded into an alert of its own, or counted
//! by the correlations that the rule belongs to. Nothing here waits, reads or writes: the same events in the same order
//! give the same changes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::alert::EvidenceRef;
use model::entity::{Entity, EntityKind};
use model::event::{EventFlags, EventView, TextField};
use model::id::{AlertId, digest128};
use model::severity::Severity;
use model::time::{Timestamp, nanos_of};
use sigma::event::{FieldId, Fields, Value};
use sigma::routing::LogSource;
use sigma::rule_set::RuleIndex;
use sigma::scratch::Scratch;

use crate::correlation::{Keys, terms_of};
use crate::fields::{EventFields, MemberIndex};
use crate::fold::{BUCKET, FoldKey, Folder};
use crate::registry::{Admission, Raised, Registry};
use crate::rules::{RuleInfo, RuleState, Rules};
use crate::snapshot::{Decoder, Encoder};
use crate::suspended;
use crate::window::table::{Bounds, KeyHash, Named};
use crate::window::{Added, Counted, Item, Role};

/// How far an event's clock may run ahead of its receipt before it enters no window.
const AHEAD_MAX: Duration = Duration::from_secs(300);
/// The bucket of the alert on clocks that run ahead: a year, so that no sender of odd times makes many.
const AHEAD_BUCKET: i64 = 366 * 86_400 * 1_000_000_000;
/// The encoding of a snapshot.
const SNAPSHOT_VERSION: u64 = 2;
/// The number under which the alert on clocks that run ahead is folded.
const AHEAD_RULE: u32 = u32::MAX;
/// The number under which alerts of other tools are folded; their key tells their rules apart.
const FINDING_RULE: u32 = u32::MAX - 1;

/// An alert that is new or has changed.
#[derive(Clone, Debug)]
pub struct AlertChange {
    /// Its id.
    pub id: AlertId,
    /// What raised it.
    pub info: Arc<RuleInfo>,
    /// Which single-event rule's fields explain it, if it is one's or a correlation's.
    pub explained_by: Option<RuleIndex>,
    /// How bad it is.
    pub severity: Severity,
    /// Whom it is about.
    pub named: Named,
    /// The start of its bucket.
    pub window_start: Timestamp,
    /// Its events.
    pub counted: Counted,
    /// Whether it has not been told of before.
    pub is_new: bool,
    /// What else there is to say, in a sentence.
    pub note: Option<String>,
}

/// What the engine has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events that were looked at.
    pub events: u64,
    /// Events that were too old for a window, once for each correlation.
    pub late: u64,
    /// Events whose clock runs ahead.
    pub ahead: u64,
    /// Keys that lost their events to make room.
    pub evicted_keys: u64,
    /// Keys with a window.
    pub keys: u64,
}

/// Finds the rules that events match; any thread may, while the engine takes in what was found before.
#[derive(Debug, Default)]
pub struct Matcher {
    scratch: Option<Scratch>,
    index: MemberIndex,
    one: Vec<RuleIndex>,
}

/// What rules say of events, in their order.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    rules: Vec<RuleIndex>,
    /// The correlations whose windows begin anew.
    resets: Vec<u32>,
    ends: Vec<(u32, u32)>,
}

impl Matches {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.rules.clear();
        self.resets.clear();
        self.ends.clear();
    }

    /// Counts an event in that matches nothing.
    pub fn pass(&mut self) {
        self.ends.push((self.rules.len() as u32, self.resets.len() as u32));
    }

    fn of(&self, at: usize) -> (&[RuleIndex], &[u32]) {
        let begin = at.checked_sub(1).and_then(|it| self.ends.get(it)).copied().unwrap_or_default();
        let end = self.ends.get(at).copied().unwrap_or(begin);
        (&self.rules[begin.0 as usize..end.0 as usize], &self.resets[begin.1 as usize..end.1 as usize])
    }
}

/// Detection over one partition.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<Rules>,
    bounds: Bounds,
    correlations: Vec<Keys>,
    folder: Folder,
    own_findings: Vec<AlertChange>,
    registry: Registry,
    matches: Vec<u64>,
    counters: Counters,
    /// The latest receipt of an event.
    received: Option<Timestamp>,
    matcher: Matcher,
    scratch_matches: Matches,
    index: MemberIndex,
    ahead: Arc<RuleInfo>,
}

impl Engine {
    /// Makes an engine that has seen nothing.
    #[must_use]
    pub fn new(rules: Arc<Rules>, bounds: Bounds) -> Self {
        let correlations = rules.set.correlations().iter().map(|it| Keys::of(it, &rules.settings, bounds)).collect();
        let ahead = RuleInfo::built_in(
            "bartizan-clock-ahead",
            "Clock of an input runs ahead",
            "clock-ahead",
            Severity::Medium,
            "Events of this input bear times more than five minutes after their receipt. They meet single-event rules only and enter \
             no window: brute force and floods in them are not seen. Set the sender's clock.",
        );
        Self {
            matches: vec![0; rules.rules.len()],
            rules,
            bounds,
            correlations,
            folder: Folder::default(),
            own_findings: Vec::new(),
            registry: Registry::default(),
            counters: Counters::default(),
            received: None,
            matcher: Matcher::default(),
            scratch_matches: Matches::default(),
            index: MemberIndex::default(),
            ahead: Arc::new(ahead),
        }
    }

    /// The rules in force.
    #[must_use]
    pub const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Takes other rules into force; windows of rules that detect the same go on. Alerts must have been taken. Of each rule that
    /// is suspended by it an alert tells.
    pub fn replace_rules(&mut self, rules: Arc<Rules>) {
        let before = self.rules.clone();
        let mut encoder = Encoder::default();
        self.encode(&mut encoder);
        let mut replaced = Self::new(rules, self.bounds);
        // What was just written is readable.
        if replaced.decode(&mut Decoder::new(&encoder.into_bytes())).is_none() {
            replaced = Self::new(replaced.rules, self.bounds);
        }
        *self = replaced;
        let new = self.rules.suspended.difference(&before.suspended);
        self.own_findings.extend(new.map(|it| suspended::alert_on(it, self.received, self.counters.events)));
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let evicted_keys = self.correlations.iter().map(Keys::evicted).sum();
        let keys = self.correlations.iter().map(|it| it.len() as u64).sum();
        Counters { evicted_keys, keys, ..self.counters }
    }

    /// How many events each rule matched since the engine was made, by the rules' order.
    #[must_use]
    pub fn matches(&self) -> &[u64] {
        &self.matches
    }

    /// Takes an event in. `sequence` is its number in the log; it rises.
    pub fn process(&mut self, event: &EventView<'_>, sequence: u64) {
        let (mut matcher, mut matches) = (std::mem::take(&mut self.matcher), std::mem::take(&mut self.scratch_matches));
        matches.clear();
        matcher.run(&self.rules, event, &mut matches);
        self.take_in(&matches, 0, event, sequence);
        (self.matcher, self.scratch_matches) = (matcher, matches);
    }

    /// Takes in an event whose `matches` with the rules in force were found before; it is the one at `at` of them.
    pub fn take_in(&mut self, matches: &Matches, at: usize, event: &EventView<'_>, sequence: u64) {
        let rules = self.rules.clone();
        self.counters.events += 1;
        self.received = self.received.max(event.received);
        let evidence = EvidenceRef { time: event.time, id_upper: event.id.upper(), sequence };
        if event.is_finding() {
            self.pass_finding(event, evidence);
        }
        let is_ahead = event.received.is_some_and(|it| nanos_of(AHEAD_MAX) < event.time.0.saturating_sub(it.0));
        if is_ahead {
            self.count_ahead(event, evidence);
        }
        let (matched, resets) = matches.of(at);
        let mut index = std::mem::take(&mut self.index);
        let fields = EventFields::new(event, &rules.accessors, &mut index);
        let mut raised: Option<(Severity, RuleIndex)> = None;
        for rule in matched {
            let at = rule.0 as usize;
            self.matches[at] += 1;
            if rules.set.rules()[at].raises_alerts && rules.rules[at].state == RuleState::On {
                if rules.settings.is_first_match {
                    let severity = rules.rules[at].severity;
                    raised = raised.filter(|it| severity <= it.0).or(Some((severity, *rule)));
                } else {
                    self.fold(*rule, event, evidence);
                }
            }
            if !is_ahead {
                for number in &rules.memberships[at] {
                    self.correlate(*number, *rule, event, evidence, &fields);
                }
            }
        }
        if let Some((_, rule)) = raised {
            self.fold(rule, event, evidence);
        }
        for number in resets.iter().filter(|_| !is_ahead) {
            let group_by = &rules.set.correlations()[*number as usize].group_by;
            if let Some(key) = key_of(group_by, &rules, event, &fields) {
                let item = Item { event: evidence, clock: clock_of(event), value: 0, role: Role::Resets };
                self.correlations[*number as usize].add(key, item, || (event.entity(), String::new(), false));
            }
        }
        self.index = index;
    }

    fn fold(&mut self, rule: RuleIndex, event: &EventView<'_>, evidence: EvidenceRef) {
        let key = FoldKey { rule: rule.0, key: key_of_event(event), bucket: event.time.0.div_euclid(BUCKET) };
        self.folder.add(key, evidence, None, || (named_of(event.entity(), event, evidence), None));
    }

    fn correlate(
        &mut self,
        number: u32,
        rule: RuleIndex,
        event: &EventView<'_>,
        evidence: EvidenceRef,
        fields: &EventFields<'_>,
    ) {
        let rules = self.rules.clone();
        let correlation = &rules.set.correlations()[number as usize];
        let Some(key) = key_of(&correlation.group_by, &rules, event, fields) else { return };
        let value = match correlation.field {
            None => 0,
            Some(field) => match hash_of_value(field, fields) {
                Some(value) => value,
                None => return,
            },
        };
        let role = if correlation.trigger == Some(rule) { Role::Triggers } else { Role::Counts };
        let item = Item { event: evidence, clock: clock_of(event), value, role };
        let is_synthetic = event.flags.has(EventFlags::SYNTHETIC);
        let added = self.correlations[number as usize].add(key, item, || {
            let (entity, text) = entity_of(&correlation.group_by, &rules, event, fields);
            (entity, text, is_synthetic)
        });
        self.counters.late += u64::from(added == Added::Late);
    }

    fn count_ahead(&mut self, event: &EventView<'_>, evidence: EvidenceRef) {
        self.counters.ahead += 1;
        let input = event.text(TextField::Input).or(event.text(TextField::Source)).unwrap_or_default();
        let key = FoldKey {
            rule: AHEAD_RULE,
            key: digest128(&[input.as_bytes()]),
            bucket: event.time.0.div_euclid(AHEAD_BUCKET),
        };
        let entity = || Entity { kind: EntityKind::Input, value: input.to_owned() };
        self.folder.add(key, evidence, None, || (named_of(entity(), event, evidence), None));
    }

    /// Another tool's alert: one of its own when it has an id, else folded by input, rule, address and minute.
    fn pass_finding(&mut self, event: &EventView<'_>, evidence: EvidenceRef) {
        let input = event.text(TextField::Input).unwrap_or_default();
        let source = event.text(TextField::Source).unwrap_or_default();
        let rule = event.text(TextField::FindingRule).unwrap_or_default();
        let kind = event.text(TextField::FindingKind).unwrap_or("finding");
        let severity = event.finding_severity().unwrap_or(Severity::Medium);
        let info = || {
            let id = format!("{source}/{rule}");
            let title = event.text(TextField::FindingTitle).or(event.text(TextField::FindingRule)).unwrap_or(&id);
            Arc::new(RuleInfo::of_finding(input, &id, title, kind, severity))
        };
        if let Some(own_id) = event.text(TextField::FindingId) {
            let counted = Counted {
                bucket: 0,
                completed: event.time,
                count: 1,
                first_seen: event.time,
                last_seen: event.time,
                evidence: vec![evidence],
            };
            self.own_findings.push(AlertChange {
                id: AlertId::of_finding(input, source, own_id),
                info: info(),
                explained_by: None,
                severity,
                named: named_of(event.entity(), event, evidence),
                window_start: Timestamp(event.time.0.div_euclid(BUCKET) * BUCKET),
                counted,
                is_new: true,
                note: None,
            });
            return;
        }
        let rule_of_input = digest128(&[input.as_bytes(), source.as_bytes(), rule.as_bytes(), kind.as_bytes()]);
        let key = FoldKey {
            rule: FINDING_RULE,
            key: digest128(&[&rule_of_input.to_le_bytes(), &key_of_event(event).to_le_bytes()]),
            bucket: event.time.0.div_euclid(BUCKET),
        };
        self.folder.add(key, evidence, Some(severity), || {
            let mut named = named_of(event.entity(), event, evidence);
            named.key = format!("{rule_of_input:032x}:{}", named.key);
            (named, Some(info()))
        });
    }

    /// Whether there are alerts to take.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.folder.has_changes() || !self.own_findings.is_empty() || self.correlations.iter().any(Keys::has_changes)
    }

    /// Takes the alerts that are new or changed, each as it is now.
    pub fn take(&mut self, out: &mut Vec<AlertChange>) {
        out.append(&mut self.own_findings);
        let mut folded = Vec::new();
        self.folder.take(&mut folded);
        for alert in folded {
            let (info, explained_by, span) = match alert.info {
                Some(info) => (info, None, BUCKET),
                None => self.info_of(alert.key.rule),
            };
            let severity = alert.severity.unwrap_or(info.severity);
            let start = Timestamp(alert.counted.bucket.saturating_mul(span));
            out.push(self.tell(&info, explained_by, severity, alert.named, alert.counted, start));
        }
        let rules = self.rules.clone();
        let mut counted = Vec::new();
        for number in 0..self.correlations.len() {
            self.correlations[number].take(&mut counted);
            let (info, correlation) = (&rules.correlations[number], &rules.set.correlations()[number]);
            let terms = terms_of(correlation, &rules.settings);
            for (named, counted) in counted.drain(..).filter(|_| info.state == RuleState::On) {
                let start = terms.start_of(counted.bucket);
                let explained_by = correlation.rules.first().copied();
                out.push(self.tell(info, explained_by, info.severity, named, counted, start));
            }
        }
    }

    fn tell(
        &mut self,
        info: &Arc<RuleInfo>,
        explained_by: Option<RuleIndex>,
        severity: Severity,
        named: Named,
        counted: Counted,
        window_start: Timestamp,
    ) -> AlertChange {
        let id = AlertId::of_rule(&info.id, &info.version, &named.key, window_start);
        let raised = Raised {
            id,
            rule: &info.bounded_as(),
            name: &named.entity.value,
            counted: &counted,
            incarnation: named.incarnation,
            received: self.received,
        };
        let admission = self.registry.admit(&raised, self.rules.settings.alerts_per_bucket_max);
        let (info, many) = (
            info.of_many(),
            match admission {
                Admission::New | Admission::Known => {
                    let is_new = admission == Admission::New;
                    return AlertChange {
                        id,
                        info: info.clone(),
                        explained_by,
                        severity,
                        named,
                        window_start,
                        counted,
                        is_new,
                        note: None,
                    };
                }
                Admission::Many(many) => many,
            },
        );
        let window_start = many.since.unwrap_or(window_start);
        let note = format!("{} entities, for example {}", many.entities, many.sample.join(", "));
        let entity = Entity { kind: EntityKind::Many, value: "many entities".to_owned() };
        let named = Named {
            entity,
            key: many.key().to_owned(),
            incarnation: many.incarnation,
            is_synthetic: named.is_synthetic,
        };
        AlertChange {
            id: AlertId::of_rule(&info.id, &info.version, &named.key, window_start),
            info,
            explained_by,
            severity,
            named,
            window_start,
            counted: many.counted,
            is_new: many.is_new,
            note: Some(note),
        }
    }

    fn info_of(&self, rule: u32) -> (Arc<RuleInfo>, Option<RuleIndex>, i64) {
        if rule == AHEAD_RULE {
            return (self.ahead.clone(), None, AHEAD_BUCKET);
        }
        (self.rules.rules[rule as usize].clone(), Some(RuleIndex(rule)), BUCKET)
    }
}

impl Engine {
    /// Writes the state. Alerts must have been taken.
    pub fn encode(&self, out: &mut Encoder) {
        debug_assert!(!self.has_changes());
        out.u64(SNAPSHOT_VERSION);
        for count in [self.counters.events, self.counters.late, self.counters.ahead] {
            out.u64(count);
        }
        out.span(self.received.map(|it| (it, it)));
        self.folder.encode(out, |number| Some(self.name_of(number)));
        self.registry.encode(out);
        out.u64(self.correlations.len() as u64);
        for (info, keys) in self.rules.correlations.iter().zip(&self.correlations) {
            out.text(&format!("{}@{}", info.id, info.version));
            let mut inner = Encoder::default();
            keys.encode(&mut inner);
            out.bytes(&inner.into_bytes());
        }
    }

    /// Reads what [`Self::encode`] wrote; state of rules that are gone or detect something else is left out.
    /// `None` when it cannot be read: then the engine is as new.
    pub fn decode(&mut self, from: &mut Decoder<'_>) -> Option<()> {
        if from.u64()? != SNAPSHOT_VERSION {
            return None;
        }
        let mut read = Self::new(self.rules.clone(), self.bounds);
        read.counters = Counters { events: from.u64()?, late: from.u64()?, ahead: from.u64()?, ..Counters::default() };
        read.received = from.span()?.map(|it| it.0);
        let numbers: HashMap<String, u32> = read.numbers().map(|it| (read.name_of(it), it)).collect();
        read.folder = Folder::decode(from, |name| numbers.get(name).copied())?;
        read.registry = Registry::decode(from)?;
        let places: HashMap<String, usize> = read
            .rules
            .correlations
            .iter()
            .enumerate()
            .map(|(at, it)| (format!("{}@{}", it.id, it.version), at))
            .collect();
        let correlations = from.u64()?;
        for _ in 0..correlations {
            let name = from.text()?;
            let bytes = from.bytes()?;
            if let Some(at) = places.get(&name) {
                let terms = terms_of(&read.rules.set.correlations()[*at], &read.rules.settings);
                read.correlations[*at] = read.correlations[*at].decode(&mut Decoder::new(bytes), terms, read.bounds)?;
            }
        }
        *self = read;
        Some(())
    }

    /// The numbers under which alerts are folded.
    fn numbers(&self) -> impl Iterator<Item = u32> {
        let rules = 0..self.rules.rules.len() as u32;
        rules.chain([FINDING_RULE, AHEAD_RULE])
    }

    /// A name that means the same in another engine.
    fn name_of(&self, number: u32) -> String {
        if number == FINDING_RULE {
            return "finding".to_owned();
        }
        let info = self.info_of(number).0;
        format!("{}@{}", info.id, info.version)
    }
}

impl Matcher {
    /// Evaluates the rules for an event once more, so that it can be measured what each costs; see [`RuleSet::weigh`]. The event
    /// must be the one that [`Self::run`] saw last, with the same rules.
    ///
    /// [`RuleSet::weigh`]: sigma::rule_set::RuleSet::weigh
    pub fn weigh(&mut self, rules: &Rules, event: &EventView<'_>, see: &mut dyn FnMut(Option<RuleIndex>)) {
        let fields = EventFields::new(event, &rules.accessors, &mut self.index);
        let scratch = self.scratch.get_or_insert_with(Scratch::new);
        rules.set.weigh(&fields, source_of(event), rules.settings.routing, scratch, see);
    }

    /// Finds the rules that an event matches, and adds them to `out`.
    pub fn run(&mut self, rules: &Rules, event: &EventView<'_>, out: &mut Matches) {
        let fields = EventFields::new(event, &rules.accessors, &mut self.index);
        let scratch = self.scratch.get_or_insert_with(Scratch::new);
        let (source, routing) = (source_of(event), rules.settings.routing);
        rules.set.evaluate(&fields, source, routing, scratch, &mut self.one);
        out.rules.extend_from_slice(&self.one);
        for number in &rules.resetting {
            let correlation = &rules.set.correlations()[*number as usize];
            if rules.set.resets(correlation, &fields, source, routing, scratch) {
                out.resets.push(*number);
            }
        }
        out.pass();
    }
}

/// The log source of an event.
#[must_use]
pub fn source_of<'a>(event: &EventView<'a>) -> LogSource<'a> {
    LogSource {
        product: event.text(TextField::Product),
        category: event.text(TextField::Category),
        service: event.text(TextField::Service),
        is_complete: event.flags.has(EventFlags::LOGSOURCE_COMPLETE),
    }
}

/// What time it is as far as an event may say. Nobody's fast clock makes the events of others late.
fn clock_of(event: &EventView<'_>) -> Timestamp {
    event.received.map_or(event.time, |it| event.time.min(it))
}

fn named_of(entity: Entity, event: &EventView<'_>, evidence: EvidenceRef) -> Named {
    let key = format!("{}:{}", entity.kind.as_str(), entity.value);
    Named { entity, key, incarnation: evidence.sequence, is_synthetic: event.flags.has(EventFlags::SYNTHETIC) }
}

fn key_of_ip(address: IpAddr) -> KeyHash {
    match address {
        IpAddr::V4(it) => it.to_ipv6_mapped().to_bits(),
        IpAddr::V6(it) => it.to_bits(),
    }
}

/// The key of an event's entity.
fn key_of_event(event: &EventView<'_>) -> KeyHash {
    match event.client_ip {
        Some(address) => key_of_ip(address),
        None => {
            let entity = event.entity();
            digest128(&[entity.kind.as_str().as_bytes(), entity.value.as_bytes()])
        }
    }
}

/// The key of an event in a correlation; `None` when it lacks a field of the group.
fn key_of(group_by: &[FieldId], rules: &Rules, event: &EventView<'_>, fields: &EventFields<'_>) -> Option<KeyHash> {
    if let [field] = group_by
        && rules.accessors.is_client_ip(*field)
    {
        return event.client_ip.map(key_of_ip);
    }
    let texts: Option<Vec<String>> = group_by.iter().map(|it| first_text(*it, fields)).collect();
    let texts = texts?;
    let parts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    Some(digest128(&parts))
}

/// Whom the key of a correlation stands for, and all of it as text.
fn entity_of(group_by: &[FieldId], rules: &Rules, event: &EventView<'_>, fields: &EventFields<'_>) -> (Entity, String) {
    let texts: Vec<String> = group_by.iter().filter_map(|it| first_text(*it, fields)).collect();
    let key = texts.join("|");
    let kind = match group_by {
        [] => return (event.entity(), String::new()),
        [field] if rules.accessors.is_client_ip(*field) => EntityKind::Ip,
        [field] => match rules.accessors.text_field(*field) {
            Some(TextField::User) => EntityKind::User,
            Some(TextField::Host) => EntityKind::Host,
            Some(TextField::Source) => EntityKind::Source,
            _ => EntityKind::Group,
        },
        _ => EntityKind::Group,
    };
    (Entity { kind, value: key.clone() }, format!("{}:{key}", kind.as_str()))
}

/// The first value of a field as text; `None` when it is missing or null.
fn first_text(field: FieldId, fields: &EventFields<'_>) -> Option<String> {
    let mut found = None;
    fields.visit(field, &mut |value| {
        found = match value {
            Value::Null => None,
            Value::Bool(it) => Some(it.to_string()),
            Value::Integer(it) => Some(it.to_string()),
            Value::Number(it) | Value::Text(it) => Some(it.to_owned()),
        };
        found.is_some()
    });
    found
}

/// A hash of the first value of a field; 1 and "1" are the same value, missing and null are none.
fn hash_of_value(field: FieldId, fields: &EventFields<'_>) -> Option<u64> {
    let mut found = None;
    fields.visit(field, &mut |value| {
        // SipHash: nobody who chooses the values chooses which of them look alike.
        let mut hasher = DefaultHasher::new();
        match value {
            Value::Null => return false,
            Value::Bool(it) => it.to_string().hash(&mut hasher),
            Value::Integer(it) => it.to_string().hash(&mut hasher),
            Value::Number(it) | Value::Text(it) => it.hash(&mut hasher),
        }
        found = Some(hasher.finish());
        true
    });
    found
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
