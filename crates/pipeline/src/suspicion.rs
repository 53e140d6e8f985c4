//! Whether the events of an alert may be forged: an alert names the first and the last of them only, and what lies between
//! counted too.

use std::collections::BTreeSet;
use std::sync::Arc;

use backends::log::{Log, Search};
use model::decision::Proposal;
use model::event::{EventView, TextField};
use model::time::Timestamp;

use crate::admitter::Suspect;
use crate::ledger::Ledger;

/// How many events of an entity are looked at; who sends more than these is no victim of a forger.
const EVENTS_MAX: usize = 20_000;
/// How many are read at a time.
const PAGE: usize = 500;

/// Looks for events that came through one of the `spoofable` inputs among those of a proposal's target and time.
#[must_use]
pub fn suspect_of(log: Arc<dyn Log>, ledger: Arc<Ledger>, spoofable: BTreeSet<String>) -> Suspect {
    Arc::new(move |proposal| {
        // Nobody came through one of them yet: the usual case, and it costs nothing.
        let is_used = {
            let book = ledger.book();
            spoofable.iter().any(|it| book.inputs.contains_key(it))
        };
        // What cannot be read is no proof of anything.
        is_used && is_mixed(log.as_ref(), proposal, &spoofable).unwrap_or(true)
    })
}

fn is_mixed(log: &dyn Log, proposal: &Proposal, spoofable: &BTreeSet<String>) -> Option<bool> {
    let (first, last) = proposal.basis.seen?;
    let mut search = Search {
        entity: Some(proposal.target.to_string()),
        from: Some(first),
        to: Some(Timestamp(last.0.saturating_add(1))),
        before: None,
        limit: PAGE,
    };
    let mut seen = 0;
    loop {
        let page = log.search(&search).ok()?;
        let is_forgeable = |bytes: &Vec<u8>| {
            let input = EventView::of(bytes).and_then(|it| it.text(TextField::Input).map(str::to_owned));
            input.is_some_and(|it| spoofable.contains(&it))
        };
        if page.events.iter().any(|it| is_forgeable(&it.1)) {
            return Some(true);
        }
        seen += page.events.len();
        search.before = page.next;
        if search.before.is_none() || EVENTS_MAX <= seen {
            return Some(false);
        }
    }
}
