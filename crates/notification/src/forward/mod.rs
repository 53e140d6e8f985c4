//! Events passed on to exchanges as they are stored: a reader of the log with a position of its own.
//!
//! An event is published after it is durable with us, with its own id, and confirmed before the position moves. So nothing that
//! is stored is left out while the log keeps it, and after a crash some events are published again with the same ids.

mod reader;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use backends::log::Log;
use model::event::EventView;
use model::place::{PartitionId, Position};
use model::time::Timestamp;
use outbound::amqp::publisher::Publisher;
use outbound::dial::Dialer;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::broker;
use crate::settings::{SettingError, Settings as Read, Surroundings};

/// How many there may be: each reads the log.
const FORWARDS_MAX: usize = 16;

/// What is written of each: by name, then by key.
pub type Written = BTreeMap<String, BTreeMap<String, String>>;

/// Which events are passed on, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Each log of `POST /logs` as it was sent, with its status as key.
    Logs,
    /// Each finding of the gateway as `AnormalEvent`.
    Anormal,
}

/// One that is to be started.
pub struct Settings {
    /// Its name.
    pub name: String,
    /// What is passed on.
    pub what: What,
    /// Where to.
    pub publisher: Publisher,
    /// The routing key of findings.
    pub key: String,
}

/// A message, made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The routing key; empty for the one of the settings.
    pub key: String,
    /// The message, JSON.
    pub body: String,
}

/// Says what becomes of an event; `None` when it is not passed on.
pub type Pick = Arc<dyn Fn(&EventView<'_>) -> Option<Picked> + Send + Sync>;

/// Remembers a position of the log under a key; the answer comes once it is durable.
pub type Remember = Arc<dyn Fn(String, Vec<u8>) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// How one is; counts are since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// How many messages the broker has confirmed.
    pub published: u64,
    /// How many of them no queue took.
    pub unrouted: u64,
    /// How many records of the log, events and others, retention removed before they were read.
    pub lost: u64,
    /// How many records of the log are still to be read.
    pub behind: u64,
    /// Why it does not go on, and since when.
    pub trouble: Option<(String, Timestamp)>,
}

/// One that runs.
pub struct Forward {
    settings: Settings,
    state: Mutex<State>,
    /// Up to where each partition was read.
    positions: Mutex<BTreeMap<PartitionId, Position>>,
    /// The log that is read, once it is started.
    log: OnceLock<Arc<dyn Log>>,
}

/// What a forward works with.
#[derive(Clone)]
pub struct Means {
    /// The log that is read.
    pub log: Arc<dyn Log>,
    /// How a position is remembered.
    pub remember: Remember,
    /// The wall clock.
    pub now: fn() -> Timestamp,
}

/// Reads the settings of all.
///
/// # Errors
///
/// The first setting that cannot be used, in a sentence.
pub fn read(written: &Written, around: &Surroundings<'_>, dialer: &Dialer) -> Result<Vec<Settings>, String> {
    if FORWARDS_MAX < written.len() {
        return Err(format!("there are {} sections `forward.NAME`; there may be {FORWARDS_MAX}", written.len()));
    }
    let read = written.iter().map(|(name, values)| read_one(name, values, around, dialer));
    read.collect::<Result<_, _>>().map_err(|it| it.to_string())
}

fn read_one(
    name: &str,
    values: &BTreeMap<String, String>,
    around: &Surroundings<'_>,
    dialer: &Dialer,
) -> Result<Settings, SettingError> {
    let settings = Read::of_section("forward", name, values, around)?;
    settings.one_of("type", &[("rabbitmq", ())])?;
    settings.required("what", "logs or anormal")?;
    let what = settings.one_of("what", &[("logs", What::Logs), ("anormal", What::Anormal)])?;
    // One that no queue takes is counted and passed over: its event is stored with us.
    let publisher = broker::publisher(&settings, dialer, true)?;
    let key = broker::short(&settings, "key", settings.text("key").unwrap_or("anormal.event"))?;
    settings.end()?;
    Ok(Settings { name: name.to_owned(), what, publisher, key: key.to_owned() })
}

impl Forward {
    /// Makes one that can be started.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self { settings, state: Mutex::default(), positions: Mutex::default(), log: OnceLock::new() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What it passes on.
    #[must_use]
    pub const fn what(&self) -> What {
        self.settings.what
    }

    /// Where to, without secrets.
    #[must_use]
    pub fn target(&self) -> String {
        self.settings.publisher.target()
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> State {
        State { behind: self.behind(), ..self.locked().clone() }
    }

    /// How many records are still to be read; those that are not kept any more are none of them.
    fn behind(&self) -> u64 {
        let Some(log) = self.log.get() else { return 0 };
        let positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |(partition, position): (&PartitionId, &Position)| {
            log.end(*partition).0.saturating_sub(log.start(*partition).max(*position).0)
        };
        positions.iter().map(left).sum()
    }

    /// Notes up to where a partition was read.
    fn is_at(&self, partition: PartitionId, position: Position) {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, position);
    }

    /// Counts records that retention removed before they were read, and says so.
    fn has_lost(&self, records: u64) {
        self.locked().lost += records;
        let name = self.name();
        tracing::error!(forward = %name, records, "`{name}` was too far behind: the log keeps {records} records no longer that it had not read");
    }

    /// Starts a task for each partition of the log, until `stop` is true.
    pub fn start(
        self: &Arc<Self>,
        runtime: &Handle,
        means: &Means,
        pick: &Pick,
        stop: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        // A second start reads the same log.
        let _ = self.log.set(means.log.clone());
        let spawn = |partition| {
            let reader = reader::Reader::new(self.clone(), means.clone(), pick.clone(), PartitionId(partition));
            runtime.spawn(reader.run(stop.clone()))
        };
        (0..means.log.partitions()).map(spawn).collect()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backends::log::embedded::files::Folder;
    use backends::log::embedded::{self as log, EmbeddedLog};
    use backends::log::{Block, RecordKind};
    use model::event::{EventFlags, EventWriter, Original};
    use model::id::EventId;
    use outbound::guard::Guard;
    use outbound::resolve::System;

    use super::*;

    fn one(values: &[(&str, &str)]) -> Result<Settings, String> {
        let values = [&[("url", "amqp://a:hidden@h/"), ("exchange", "x")], values].concat();
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let none = |_: &str| -> Option<Duration> { None };
        let around = Surroundings { variable: &|_| None, duration: &none };
        let dialer = Dialer::new(Guard::new(Vec::new()), Arc::new(System), None);
        let mut read = super::read(&Written::from([("out".to_owned(), values)]), &around, &dialer)?;
        Ok(read.remove(0))
    }

    #[track_caller]
    fn refused(values: &[(&str, &str)], expected: &str) {
        let error = one(values).err().expect("it is wrong");
        assert!(error.starts_with(expected) && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn settings_are_checked() {
        let settings = one(&[("what", "anormal")]).unwrap();
        assert_eq!((settings.what, settings.key.as_str()), (What::Anormal, "anormal.event"));
        assert_eq!(settings.publisher.target(), "amqp://h:5672/ exchange x");
        refused(&[], "`forward.out.what` is missing");
        refused(&[("what", "all")], "`forward.out.what` is `all`, and must be one of `logs`, `anormal`");
        refused(&[("what", "logs"), ("type", "kafka")], "`forward.out.type` is `kafka`");
        refused(&[("what", "logs"), ("queue", "q")], "`forward.out.queue` is not known here");
        refused(&[("what", "logs"), ("key", &"k".repeat(256))], "`forward.out.key` is over 255 bytes");
    }

    /// Writes `count` events into a log that keeps hardly any.
    fn write(log: &dyn Log, numbers: std::ops::Range<u64>, now: Timestamp) {
        for number in numbers {
            let mut event = Vec::new();
            EventWriter::new(&mut event, EventId(u128::from(number) + 1), Timestamp(1), None, EventFlags::REPEATABLE)
                .original(Original::Json(&format!("\"{}\"", "x".repeat(2000))));
            let mut block = Block::default();
            block.push(RecordKind::Event, &event);
            log.append(PartitionId(0), &mut block, now).unwrap();
        }
        log.release(PartitionId(0), log.end(PartitionId(0)));
    }

    #[tokio::test]
    async fn what_retention_removed_is_counted_and_how_much_is_left_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let files = Arc::new(Folder::new(folder.path().to_owned()));
        let settings = log::Settings { segment_bytes: 1 << 10, ..log::Settings::default() };
        let open = || -> Arc<dyn Log> { Arc::new(EmbeddedLog::open(files.clone(), settings).unwrap()) };
        let log = open();
        write(log.as_ref(), 0..40, Timestamp(1));
        write(log.as_ref(), 40..50, Timestamp(1).plus(Duration::from_secs(20 * 86_400)));
        drop(log);
        let log = open();
        let forward = Forward::new(one(&[("what", "logs")]).unwrap());
        let remember: Remember = Arc::new(|_, _| Box::pin(async { true }));
        let means = Means { log: log.clone(), remember, now: || Timestamp(1) };
        // Nothing is picked, so no broker is asked for.
        let pick: Pick = Arc::new(|_| None);
        let mut reader = reader::Reader::new(forward.clone(), means, pick, PartitionId(0)).at(Position::START);
        let kept_from = log.start(PartitionId(0)).0;
        assert!(0 < kept_from && kept_from < 50, "{kept_from}");
        let _ = forward.log.set(log.clone());
        assert_eq!(forward.state(), State { behind: 50 - kept_from, ..State::default() });
        while forward.state().behind != 0 {
            reader.step().await;
        }
        assert_eq!(forward.state(), State { lost: kept_from, ..State::default() });
    }

    #[test]
    fn there_may_be_sixteen() {
        let around = Surroundings { variable: &|_| None, duration: &|_| None };
        let dialer = Dialer::new(Guard::new(Vec::new()), Arc::new(System), None);
        let written: Written = (0..=FORWARDS_MAX).map(|it| (it.to_string(), BTreeMap::new())).collect();
        assert!(super::read(&written, &around, &dialer).err().unwrap().contains("there may be 16"));
    }
}
