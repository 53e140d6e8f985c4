//! From what the engine knows of an alert to the alert as it is stored: its events are looked up in the log.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use backends::log::{Log, ReadBlock, RecordKind};
use detection::engine::AlertChange;
use detection::fields::{EventFields, MemberIndex};
use detection::rules::Rules;
use hashbrown::HashMap;
use model::alert::{Alert, AlertStatus, EvidenceRef};
use model::entity::{Entity, EntityKind, parse_ip};
use model::event::{EventView, TextField};
use model::id::{AlertId, EventId};
use model::limits::{ALERT_MATCHED_BYTES_MAX, ALERT_SENTENCE_BYTES_MAX, ALERT_VALUE_BYTES_MAX, json_bytes, shortened};
use model::place::{PartitionId, Position, Sequence};
use normalize::output::event001;

/// How many blocks are kept: evidence lies close together.
const BLOCKS_MAX: usize = 32;
/// How much of what alerts copied is remembered, in bytes: one that grows is stored again and again, and what is
/// forgotten is read from the log once more. Enough for ten thousand alerts of ordinary events.
const COPIED_BYTES_MAX: usize = 32 << 20;
/// How many ids of events are remembered: an alert that grows tells of the same ones again.
const IDS_MAX: usize = 100_000;

/// Where the events of alerts are found again.
pub trait EventSource {
    /// Calls `see` with the event of a number; not at all when it is gone.
    fn with_event(&mut self, sequence: Sequence, see: &mut dyn FnMut(&EventView<'_>));

    /// The id of an event, when it follows from its number.
    fn id_of_place(&self, event: &EvidenceRef) -> Option<EventId>;
}

/// The events of a log.
pub struct LogEvents {
    log: Arc<dyn Log>,
    partition: PartitionId,
    blocks: VecDeque<ReadBlock>,
}

impl LogEvents {
    /// Looks events up in a partition of `log`.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, partition: PartitionId) -> Self {
        Self { log, partition, blocks: VecDeque::new() }
    }
}

impl EventSource for LogEvents {
    fn with_event(&mut self, sequence: Sequence, see: &mut dyn FnMut(&EventView<'_>)) {
        let holds = |it: &ReadBlock| it.first() <= sequence && sequence.0 < it.next().0;
        if !self.blocks.iter().any(holds) {
            let Ok(block) = self.log.read(self.partition, Position(sequence.0)) else { return };
            self.blocks.push_front(block);
            self.blocks.truncate(BLOCKS_MAX);
        }
        let block = self.blocks.iter().find(|it| holds(it));
        let record = block.and_then(|it| it.record(sequence)).filter(|it| it.kind == RecordKind::Event);
        if let Some(view) = record.and_then(|it| EventView::of(it.bytes)) {
            see(&view);
        }
    }

    fn id_of_place(&self, event: &EvidenceRef) -> Option<EventId> {
        (event.id_upper == self.log.tag()).then(|| EventId::of_place(event.id_upper, event.sequence))
    }
}

/// Makes alerts whole.
pub struct Hydrator<S> {
    /// Where the events are.
    pub events: S,
    ids: HashMap<u64, EventId>,
    /// By alert: the number of its first event, and what was copied from it.
    copied: HashMap<AlertId, (u64, Copied)>,
    copied_bytes: usize,
    index: MemberIndex,
}

/// What an alert copies from its first event: as much as people read. All of it is in the log.
#[derive(Clone, Default)]
struct Copied {
    client_ip: Option<IpAddr>,
    dst_ip: Option<IpAddr>,
    source: String,
    country: Option<String>,
    user: Option<String>,
    message: Option<String>,
    matched: Vec<(String, String)>,
    event: String,
}

impl Copied {
    /// About how much memory it takes, in bytes.
    fn bytes(&self) -> usize {
        let options = [&self.country, &self.user, &self.message];
        let texts: usize = options.into_iter().flatten().map(String::len).sum();
        let matched: usize = self.matched.iter().map(|it| it.0.len() + it.1.len()).sum();
        size_of::<Self>()
            + self.source.len()
            + self.event.len()
            + texts
            + matched
            + self.matched.len() * size_of::<(String, String)>()
    }
}

/// Shortens a value to what is stored of one.
fn value(text: &str) -> String {
    shortened(text, ALERT_VALUE_BYTES_MAX).into_owned()
}

/// Shortens a sentence to what is stored of one.
fn sentence(text: &str) -> String {
    shortened(text, ALERT_SENTENCE_BYTES_MAX).into_owned()
}

/// Shortens the fields that matched, and leaves out those for which there is no room.
fn shortened_fields(fields: &[(String, String)]) -> Vec<(String, String)> {
    let mut room = ALERT_MATCHED_BYTES_MAX;
    let fields = fields.iter().map(|(name, text)| (value(name), value(text)));
    fields
        .take_while(|(name, text)| {
            let bytes = json_bytes(name) + json_bytes(text);
            let has_room = bytes <= room;
            room = room.saturating_sub(bytes);
            has_room
        })
        .collect()
}

impl<S: EventSource> Hydrator<S> {
    /// Looks events up in `events`.
    #[must_use]
    pub fn new(events: S) -> Self {
        Self { events, ids: HashMap::new(), copied: HashMap::new(), copied_bytes: 0, index: MemberIndex::default() }
    }

    /// Makes an alert whole.
    pub fn alert(&mut self, change: &AlertChange, rules: &Rules) -> Alert {
        let evidence = change.counted.evidence.iter().filter_map(|it| self.id_of(it)).collect();
        let copied = self.copied(change, rules);
        let info = &change.info;
        let named = &change.named.entity;
        let entity = Entity { kind: named.kind, value: value(&named.value) };
        let count = change.counted.count;
        let fill = |text: &str| text.replace("{count}", &count.to_string()).replace("{entity}", &entity.value);
        let mut details = match (&info.details, &info.condition) {
            (Some(text), _) => fill(text),
            (None, Some(condition)) => format!("{count} events of {} ({condition})", entity.value),
            (None, None) => copied.message.unwrap_or_else(|| format!("{count} events of {}", entity.value)),
        };
        if let Some(note) = &change.note {
            details = format!("{details} ({note})");
        }
        let kind = value(&info.kind);
        let own_ip = (entity.kind == EntityKind::Ip).then(|| parse_ip(&entity.value)).flatten();
        Alert {
            id: change.id,
            rule_id: value(&info.id),
            rule_version: info.version.clone(),
            title: value(&info.title),
            severity: change.severity,
            confidence: info.confidence,
            status: AlertStatus::New,
            client_ip: own_ip.or(copied.client_ip.filter(|_| entity.kind != EntityKind::Many)),
            entity,
            dst_ip: copied.dst_ip,
            count,
            first_seen: change.counted.first_seen,
            last_seen: change.counted.last_seen,
            window_start: change.window_start,
            timestamp: change.counted.completed,
            details: sentence(&details),
            reason: format!("Matched rule: {kind}"),
            description: sentence(&info.description),
            detector: format!("RuleBased({kind})"),
            kind,
            source: copied.source,
            country: copied.country,
            user: copied.user,
            matched: copied.matched,
            evidence,
            event: copied.event,
            synthetic: change.named.is_synthetic,
            incarnation: change.named.incarnation,
        }
    }

    fn id_of(&mut self, event: &EvidenceRef) -> Option<EventId> {
        if let Some(id) = self.events.id_of_place(event).or_else(|| self.ids.get(&event.sequence).copied()) {
            return Some(id);
        }
        let mut found = None;
        self.events.with_event(Sequence(event.sequence), &mut |view| found = Some(view.id));
        if IDS_MAX <= self.ids.len() {
            self.ids.clear();
        }
        found.inspect(|id| {
            self.ids.insert(event.sequence, *id);
        })
    }

    fn copied(&mut self, change: &AlertChange, rules: &Rules) -> Copied {
        let mut copied = Copied::default();
        let Some(first) = change.counted.evidence.first() else {
            // It is about ourselves.
            return Copied { source: "bartizan".to_owned(), event: "{}".to_owned(), ..copied };
        };
        if let Some((_, known)) = self.copied.get(&change.id).filter(|it| it.0 == first.sequence) {
            return known.clone();
        }
        let index = &mut self.index;
        self.events.with_event(Sequence(first.sequence), &mut |view| {
            let text = |field| view.text(field).map(value);
            copied = Copied {
                client_ip: view.client_ip,
                dst_ip: view.text(TextField::DestinationIp).and_then(parse_ip),
                source: text(TextField::Source).unwrap_or_default(),
                country: text(TextField::Country),
                user: text(TextField::User),
                message: view.text(TextField::Message).map(sentence),
                matched: Vec::new(),
                event: event001(view),
            };
            if let Some(rule) = change.explained_by {
                let fields = EventFields::new(view, &rules.accessors, index);
                copied.matched = shortened_fields(&rules.set.explain(rule, &fields));
            }
        });
        self.remember(change.id, first.sequence, &copied);
        copied
    }

    fn remember(&mut self, id: AlertId, first: u64, copied: &Copied) {
        let bytes = copied.bytes();
        if COPIED_BYTES_MAX < self.copied_bytes + bytes {
            self.copied.clear();
            self.copied_bytes = 0;
        }
        self.copied_bytes += bytes;
        if let Some((_, before)) = self.copied.insert(id, (first, copied.clone())) {
            self.copied_bytes = self.copied_bytes.saturating_sub(before.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use detection::rules::{EngineSettings, RuleInfo};
    use detection::window::Counted;
    use detection::window::table::Named;
    use model::event::EventWriter;
    use model::severity::Severity;
    use model::time::Timestamp;

    use super::*;

    /// One event, under every number.
    struct Same(Vec<u8>);

    impl EventSource for Same {
        fn with_event(&mut self, _: Sequence, see: &mut dyn FnMut(&EventView<'_>)) {
            see(&EventView::of(&self.0).unwrap());
        }

        fn id_of_place(&self, _: &EvidenceRef) -> Option<EventId> {
            None
        }
    }

    /// A hydrator whose events have `text` in every field.
    fn hydrator(text: &str) -> Hydrator<Same> {
        let mut event = Vec::new();
        let mut writer = EventWriter::new(&mut event, EventId(1), Timestamp(1), None, 0);
        for field in [TextField::Source, TextField::User, TextField::Country, TextField::Message] {
            writer.text(field, text);
        }
        Hydrator::new(Same(event))
    }

    /// A finding, the `number`th, in whose names there is `text`.
    fn finding(number: u64, text: &str) -> AlertChange {
        let event = EvidenceRef { time: Timestamp(1), id_upper: 0, sequence: number };
        AlertChange {
            id: AlertId(u128::from(number)),
            info: Arc::new(RuleInfo::of_finding("door", text, text, text, Severity::High)),
            explained_by: None,
            severity: Severity::High,
            named: Named {
                entity: Entity { kind: EntityKind::User, value: text.to_owned() },
                key: String::new(),
                incarnation: 0,
                is_synthetic: false,
            },
            window_start: Timestamp(0),
            counted: Counted {
                bucket: 0,
                completed: Timestamp(1),
                count: 1,
                first_seen: Timestamp(1),
                last_seen: Timestamp(1),
                evidence: vec![event],
            },
            is_new: true,
            note: None,
        }
    }

    fn no_rules() -> Rules {
        Rules::compile(&[], &Default::default(), EngineSettings::default()).0
    }

    #[test]
    fn an_alert_is_bounded_whatever_its_event_holds() {
        for text in ["x".repeat(60_000), "\u{1}".repeat(60_000), "ü\"".repeat(20_000)] {
            let alert = hydrator(&text).alert(&finding(1, &text), &no_rules());
            for short in [&alert.rule_id, &alert.title, &alert.kind, &alert.entity.value, &alert.source] {
                assert!(json_bytes(short) <= ALERT_VALUE_BYTES_MAX && short.ends_with('…'));
            }
            assert!(json_bytes(&alert.details) <= ALERT_SENTENCE_BYTES_MAX && alert.details.ends_with('…'));
            assert!(alert.event.len() <= model::limits::ALERT_EVENT_BYTES_MAX);
            assert!(format!("{alert:?}").len() < 100_000);
        }
    }

    #[test]
    fn matched_fields_are_shortened_and_then_left_out() {
        let field = |text: &str| (text.to_owned(), text.to_owned());
        let short = shortened_fields(&[field("a"), field(&"x".repeat(2000))]);
        assert_eq!((short[0].clone(), short.len()), (field("a"), 2));
        assert!(short[1].1.ends_with('…') && short[1].1.len() <= ALERT_VALUE_BYTES_MAX);
        let many = shortened_fields(&vec![field(&"x".repeat(1024)); 64]);
        assert_eq!(many.len(), ALERT_MATCHED_BYTES_MAX / 2048);
    }

    #[test]
    fn what_is_remembered_of_alerts_is_bounded_in_bytes() {
        let text = "x".repeat(60_000);
        let (mut hydrator, rules) = (hydrator(&text), no_rules());
        for number in 0..3000 {
            hydrator.alert(&finding(number, "f"), &rules);
            let held: usize = hydrator.copied.values().map(|it| it.1.bytes()).sum();
            assert_eq!(hydrator.copied_bytes, held);
            assert!(held <= COPIED_BYTES_MAX);
        }
        assert!(1000 < hydrator.copied.len());
    }
}
