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
use model::entity::{EntityKind, parse_ip};
use model::event::{EventView, TextField};
use model::id::{AlertId, EventId};
use model::place::{PartitionId, Position, Sequence};
use normalize::output::event001;

/// How many blocks are kept: evidence lies close together.
const BLOCKS_MAX: usize = 32;
/// For how many alerts what they copied is remembered: one that grows is stored again and again.
const COPIED_MAX: usize = 10_000;
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
    index: MemberIndex,
}

/// What an alert copies from its first event.
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

impl<S: EventSource> Hydrator<S> {
    /// Looks events up in `events`.
    #[must_use]
    pub fn new(events: S) -> Self {
        Self { events, ids: HashMap::new(), copied: HashMap::new(), index: MemberIndex::default() }
    }

    /// Makes an alert whole.
    pub fn alert(&mut self, change: &AlertChange, rules: &Rules) -> Alert {
        let evidence = change.counted.evidence.iter().filter_map(|it| self.id_of(it)).collect();
        let copied = self.copied(change, rules);
        let info = &change.info;
        let entity = &change.named.entity;
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
        let own_ip = (entity.kind == EntityKind::Ip).then(|| parse_ip(&entity.value)).flatten();
        Alert {
            id: change.id,
            rule_id: info.id.clone(),
            rule_version: info.version.clone(),
            title: info.title.clone(),
            kind: info.kind.clone(),
            severity: change.severity,
            confidence: info.confidence,
            status: AlertStatus::New,
            client_ip: own_ip.or(copied.client_ip.filter(|_| entity.kind != EntityKind::Many)),
            entity: entity.clone(),
            dst_ip: copied.dst_ip,
            count,
            first_seen: change.counted.first_seen,
            last_seen: change.counted.last_seen,
            window_start: change.window_start,
            timestamp: change.counted.completed,
            details,
            reason: format!("Matched rule: {}", info.kind),
            description: info.description.clone(),
            detector: format!("RuleBased({})", info.kind),
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
        let Some(first) = change.counted.evidence.first() else { return copied };
        if let Some((_, known)) = self.copied.get(&change.id).filter(|it| it.0 == first.sequence) {
            return known.clone();
        }
        let index = &mut self.index;
        self.events.with_event(Sequence(first.sequence), &mut |view| {
            let text = |field| view.text(field).map(str::to_owned);
            copied = Copied {
                client_ip: view.client_ip,
                dst_ip: view.text(TextField::DestinationIp).and_then(parse_ip),
                source: text(TextField::Source).unwrap_or_default(),
                country: text(TextField::Country),
                user: text(TextField::User),
                message: text(TextField::Message),
                matched: Vec::new(),
                event: event001(view),
            };
            if let Some(rule) = change.explained_by {
                let fields = EventFields::new(view, &rules.accessors, index);
                copied.matched = rules.set.explain(rule, &fields);
            }
        });
        if COPIED_MAX <= self.copied.len() {
            self.copied.clear();
        }
        self.copied.insert(change.id, (first.sequence, copied.clone()));
        copied
    }
}
