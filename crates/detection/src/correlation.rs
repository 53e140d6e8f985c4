//! One correlation at work: which window its condition needs, and the keys of its table.

use model::time::nanos_of;
use sigma::correlation::Count;
use sigma::rule_set::CompiledCorrelation;

use crate::rules::EngineSettings;
use crate::snapshot::{Decoder, Encoder};
use crate::window::consecutive::ConsecutiveWindow;
use crate::window::count::CountWindow;
use crate::window::list::{Distinct, ListWindow, Triggered};
use crate::window::sparse::Sparse;
use crate::window::table::{Bounds, KeyHash, Named, Table};
use crate::window::{Added, Counted, Item, Terms};

/// The keys of one correlation.
#[derive(Debug)]
pub enum Keys {
    /// At least N events.
    Count(Table<Sparse<CountWindow>>),
    /// At least N distinct values.
    Distinct(Table<Sparse<ListWindow<Distinct>>>),
    /// At least N events, judged at a trigger.
    Triggered(Table<Sparse<ListWindow<Triggered>>>),
    /// At least N events without another between.
    Consecutive(Table<ConsecutiveWindow>),
}

macro_rules! each {
    ($keys:expr, $table:ident => $body:expr) => {
        match $keys {
            Keys::Count($table) => $body,
            Keys::Distinct($table) => $body,
            Keys::Triggered($table) => $body,
            Keys::Consecutive($table) => $body,
        }
    };
}

/// What a correlation asks of its windows.
#[must_use]
pub fn terms_of(correlation: &CompiledCorrelation, settings: &EngineSettings) -> Terms {
    let lateness = correlation.correlation.header.extension.lateness.unwrap_or(settings.lateness);
    Terms {
        span: nanos_of(correlation.correlation.timespan).max(1),
        lateness: nanos_of(lateness),
        threshold: u32::try_from(correlation.correlation.at_least).unwrap_or(u32::MAX),
    }
}

impl Keys {
    /// Makes the empty table of a correlation.
    #[must_use]
    pub fn of(correlation: &CompiledCorrelation, settings: &EngineSettings, bounds: Bounds) -> Self {
        let terms = terms_of(correlation, settings);
        let correlated = &correlation.correlation;
        match correlated.count {
            Count::Values(_) => Self::Distinct(Table::new(terms, bounds)),
            Count::Events if correlated.header.extension.reset.is_some() => {
                Self::Consecutive(Table::new(terms, bounds))
            }
            Count::Events if correlation.trigger.is_some() => Self::Triggered(Table::new(terms, bounds)),
            Count::Events => Self::Count(Table::new(terms, bounds)),
        }
    }

    /// Adds an event to a key.
    pub fn add(
        &mut self,
        key: KeyHash,
        item: Item,
        name: impl FnOnce() -> (model::entity::Entity, String, bool),
    ) -> Added {
        each!(self, table => table.add(key, item, name))
    }

    /// Takes the alerts that are new or changed.
    pub fn take(&mut self, out: &mut Vec<(Named, Counted)>) {
        each!(self, table => table.take(out));
    }

    /// Whether there are alerts to take.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        each!(self, table => table.has_changes())
    }

    /// How many keys lost their events to make room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        each!(self, table => table.evicted())
    }

    /// How many keys have a window.
    #[must_use]
    pub fn len(&self) -> usize {
        each!(self, table => table.len())
    }

    /// Whether no key has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes all of it.
    pub fn encode(&self, out: &mut Encoder) {
        each!(self, table => table.encode(out));
    }

    /// Reads what [`Self::encode`] wrote for the same correlation.
    pub fn decode(&self, from: &mut Decoder<'_>, terms: Terms, bounds: Bounds) -> Option<Self> {
        Some(match self {
            Self::Count(_) => Self::Count(Table::decode(from, terms, bounds)?),
            Self::Distinct(_) => Self::Distinct(Table::decode(from, terms, bounds)?),
            Self::Triggered(_) => Self::Triggered(Table::decode(from, terms, bounds)?),
            Self::Consecutive(_) => Self::Consecutive(Table::decode(from, terms, bounds)?),
        })
    }
}
