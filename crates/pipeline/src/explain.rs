//! Finds the alert of a decision again, from the events that are kept and the rules that were in force.

use std::sync::Arc;
use std::time::Duration;

use backends::log::{Log, LogError, Search};
use detection::engine::Engine;
use detection::rules::Rules;
use detection::window::table::Bounds;
use model::decision::Basis;
use model::event::EventView;
use model::id::EventId;
use model::place::Sequence;
use model::time::Timestamp;

/// How long before the first counted event is looked at: what a window or a reset needs.
const BEFORE: Duration = Duration::from_secs(3600);
/// How many events are looked at.
const EVENTS_MAX: usize = 200_000;
/// How many are read at a time.
const PAGE: usize = 500;

/// What was found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The same alert, of the same events as far as it names them.
    Same,
    /// The same alert; of its evidence these events are no longer there or no longer counted.
    Without(Vec<EventId>),
    /// No such alert: events are gone, or the rule groups by something else than the entity.
    Nothing,
}

/// Runs `rules` over the events of `entity` around the time of `basis`, and says whether its alert comes out again.
///
/// # Errors
///
/// What the log says.
pub fn find_again(log: &dyn Log, rules: Arc<Rules>, entity: &str, basis: &Basis) -> Result<Found, LogError> {
    let (Some(alert), Some((first, last))) = (basis.alert, basis.seen) else { return Ok(Found::Nothing) };
    let mut events = events_of(log, entity, first.minus(BEFORE), Timestamp(last.0.saturating_add(1)))?;
    events.sort_by_key(|it| it.0);
    let mut engine = Engine::new(rules, Bounds::default());
    for (sequence, bytes) in &events {
        if let Some(view) = EventView::of(bytes) {
            engine.process(&view, sequence.0);
        }
    }
    let mut changes = Vec::new();
    engine.take(&mut changes);
    let Some(change) = changes.into_iter().find(|it| it.id == alert) else { return Ok(Found::Nothing) };
    let id_of = |sequence: u64| {
        let at = events.binary_search_by_key(&sequence, |it| it.0.0).ok()?;
        EventView::of(&events[at].1).map(|it| it.id)
    };
    let counted: Vec<EventId> = change.counted.evidence.iter().filter_map(|it| id_of(it.sequence)).collect();
    let missing: Vec<EventId> = basis.events.iter().copied().filter(|it| !counted.contains(it)).collect();
    Ok(if missing.is_empty() { Found::Same } else { Found::Without(missing) })
}

fn events_of(
    log: &dyn Log,
    entity: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(Sequence, Vec<u8>)>, LogError> {
    let mut search =
        Search { entity: Some(entity.to_owned()), from: Some(from), to: Some(to), before: None, limit: PAGE };
    let mut events = Vec::new();
    loop {
        let page = log.search(&search)?;
        events.extend(page.events);
        search.before = page.next;
        if search.before.is_none() || EVENTS_MAX <= events.len() {
            return Ok(events);
        }
    }
}
