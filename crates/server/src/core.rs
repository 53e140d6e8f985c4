//! The parts that every command over a data folder needs: log, store, ledger, the way in, and the routes over them.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use backends::log::broker::rabbitmq::RabbitStream;
use backends::log::broker::{BrokerLog, Known};
use backends::log::embedded::{EmbeddedLog, files};
use backends::log::{Damage, Log};
use backends::store::decisions::AuditEntry;
use backends::store::postgres::PostgresStore;
use backends::store::sqlite::SqliteStore;
use backends::store::{Key, Scope, Store, StoreError};
use model::place::{PartitionId, Position};
use pipeline::admitter::{Admitter, AdmitterParts};
use pipeline::ingest::{Ingest, chain, now};
use pipeline::ledger::{Book, Ledger, MARK_PREFIX, MARK_REFUSED};
use pipeline::progress::Progress;

use crate::config::Config;
use crate::config::decisions::DecisionsConfig;
use crate::config::log::LogPlace;
use crate::config::store::StoreConfig;
use crate::crawlers::Crawlers;
use crate::failure::Failure;
use crate::folder::{Folder, make};
use crate::http::auth::{ADMIN_KEY_NAME, digest_of, random_secret};
use crate::{own_addresses, terminal};

/// The variable that sets the admin key.
pub(crate) const ADMIN_KEY_VARIABLE: &str = "BARTIZAN_ADMIN_KEY";
/// The switch that says to which log on a broker the store belongs; none for the log in the data folder.
const SWITCH_LOG: &str = "log.tag";
/// How long such a key must be.
const ADMIN_KEY_CHARS_MIN: usize = 32;
/// How long is waited before a database that is away is tried again: at first, and at most.
const AWAY_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What is opened of a data folder.
pub(crate) struct Core {
    pub(crate) folder: Folder,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) progress: Arc<Progress>,
    /// Who the clients are.
    pub(crate) crawlers: Arc<Crawlers>,
    /// Who is kept out.
    pub(crate) admitter: Arc<Admitter>,
}

/// What is done when the database is not there at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenAway {
    /// It is waited for, for ever.
    Wait,
    /// The command fails.
    Fail,
}

/// How the admin key came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminKey {
    /// Made now; it is in the folder too.
    Made(String),
    /// The environment sets it.
    OfEnvironment,
    /// It was there.
    Known,
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::unusable(format!("the data folder `{}` cannot be used: {}", path.display(), chain(error)))
}

fn tell_damage(damage: &Damage) {
    if 0 < damage.torn_bytes {
        tracing::info!(
            torn_bytes = damage.torn_bytes,
            "Cut what a crash had half written; nothing that detection had read was in it"
        );
    }
    if !damage.is_healthy() {
        tracing::error!(places = damage.damaged_places, records_lost = damage.records_lost, findings = ?damage.findings, "The log is damaged; `bartizan fsck` tells more");
    }
}

impl Core {
    /// Holds the folder and opens what is in it, and the store where the configuration says it is.
    pub(crate) fn open(path: &Path, config: &Config, when_away: WhenAway) -> Result<Self, Failure> {
        let folder = Folder::hold(path)?;
        let store = open_store(&folder.store(), config, when_away)?;
        let position = store.position(PartitionId(0)).map_err(|it| unusable(path, &it))?;
        let log = open_log(&folder, config, store.as_ref(), position, when_away)?;
        tell_damage(&log.damage());
        let book = Book::of_marks(&log.marks(MARK_PREFIX), log.mark(MARK_REFUSED).as_deref());
        let progress = Arc::<Progress>::default();
        let crawlers = Arc::<Crawlers>::default();
        let admitter =
            open_admitter(&store, &progress, &config.decisions, &crawlers).map_err(|it| unusable(path, &it))?;
        let ledger = Arc::new(Ledger::new(book));
        Ok(Self { folder, log, store, ledger, progress, crawlers, admitter: Arc::new(admitter) })
    }

    /// Makes sure that there is an admin key.
    pub(crate) fn ensure_admin_key(&self, environment: Option<&str>) -> Result<AdminKey, Failure> {
        let key = |secret: &str| Key {
            name: ADMIN_KEY_NAME.to_owned(),
            scope: Scope::Admin,
            digest: digest_of(secret),
            rate_per_second: None,
            created_at: now(),
            expires_at: None,
            last_used_at: None,
        };
        let failed = |error: StoreError| unusable(self.folder.path(), &error);
        let known = self.store.keys().map_err(failed)?;
        if let Some(secret) = environment {
            let wanted = key(secret);
            let is_same = |it: &Key| {
                (&it.name, it.scope, it.digest, it.expires_at) == (&wanted.name, wanted.scope, wanted.digest, None)
            };
            // One that is there already needs no room on a disk that may be full.
            if !known.iter().any(is_same) {
                self.store.put_key(&wanted).map_err(failed)?;
            }
            return Ok(AdminKey::OfEnvironment);
        }
        if known.iter().any(|it| it.scope == Scope::Admin) {
            return Ok(AdminKey::Known);
        }
        let secret = format!("bz_{}", random_secret().map_err(|it| Failure::failed(it.to_string()))?);
        Folder::write_private(&self.folder.admin_key(), &format!("{secret}\n"))?;
        self.store.put_key(&key(&secret)).map_err(failed)?;
        Ok(AdminKey::Made(secret))
    }

    /// Starts the thread that appends.
    pub(crate) fn start_ingest(&self) -> Result<(Arc<Ingest>, thread::JoinHandle<()>), Failure> {
        Ingest::start(self.log.clone(), self.ledger.clone()).map_err(|it| unusable(self.folder.path(), &it))
    }
}

/// Opens the log where the configuration says that it is. The store holds a position in it, so it must be the log that the
/// store belongs to.
fn open_log(
    folder: &Folder,
    config: &Config,
    store: &dyn Store,
    position: Position,
    when_away: WhenAway,
) -> Result<Arc<dyn Log>, Failure> {
    let failed = |it: &dyn std::error::Error| unusable(folder.path(), it);
    let known = store.switch(SWITCH_LOG).map_err(|it| failed(&it))?;
    let files = Arc::new(files::Folder::new(folder.events()));
    match (&config.log_place, known) {
        (LogPlace::Folder, None) => {
            let log = EmbeddedLog::open_synced(files, config.log, position);
            Ok(Arc::new(log.map_err(|it| failed(&it))?))
        }
        (LogPlace::Folder, Some(known)) => Err(of_another_log(&format!("{known} on a broker"), "in the data folder")),
        (LogPlace::RabbitMq { .. }, None) if position != Position::START => {
            Err(of_another_log("in the data folder", "on a broker"))
        }
        (LogPlace::RabbitMq { broker, stream }, known) => {
            let known = match &known {
                None => Known::Nothing,
                Some(tag) => {
                    let tag = u64::from_str_radix(tag, 16);
                    Known::Tag(tag.map_err(|_| Failure::unusable("the store names its log by no tag"))?, position)
                }
            };
            let stream = RabbitStream::new((**broker).clone(), stream.clone());
            let stream = stream.map_err(|it| Failure::unusable(format!("the broker of the log: {it}")))?;
            make(&folder.copy())?;
            let files = Arc::new(files::Folder::new(folder.copy()));
            let log = BrokerLog::open(Box::new(stream), files, config.log, known, now());
            let log = log.map_err(|it| Failure::unusable(chain(&it)))?;
            if known == Known::Nothing {
                let tag = format!("{:016x}", log.tag());
                store.set_switch(SWITCH_LOG, &tag, &begun(&tag)).map_err(|it| failed(&it))?;
            }
            if when_away == WhenAway::Wait {
                log.begin(now()).map_err(|it| failed(&it))?;
            }
            Ok(Arc::new(log))
        }
    }
}

/// Opens the store: in the file at `path`, or in the database of the configuration.
pub(crate) fn open_store(path: &Path, config: &Config, when_away: WhenAway) -> Result<Arc<dyn Store>, Failure> {
    match &config.store {
        StoreConfig::Folder => Ok(Arc::new(SqliteStore::open(path).map_err(|it| unusable(&config.data, &it))?)),
        StoreConfig::Postgres(settings) => {
            let open = || PostgresStore::open(settings);
            let opened = if when_away == WhenAway::Wait { open_patiently(open) } else { open() };
            let unusable = |it: StoreError| Failure::unusable(format!("the database cannot be used: {}", chain(&it)));
            Ok(Arc::new(opened.map_err(unusable)?))
        }
    }
}

/// Tries until the database is there, or says that it will never do. A signal ends the process meanwhile: nothing was begun.
fn open_patiently(open: impl Fn() -> Result<PostgresStore, StoreError>) -> Result<PostgresStore, StoreError> {
    let mut pause = AWAY_PAUSE.0;
    loop {
        match open() {
            Err(error) if error.is_transient() => {
                tracing::warn!(reason = %chain(&error), "The database is away; nothing is taken until it is there");
                thread::sleep(pause);
                pause = (pause * 2).min(AWAY_PAUSE.1);
            }
            opened => return opened,
        }
    }
}

fn of_another_log(known: &str, found: &str) -> Failure {
    Failure::unusable(format!(
        "the store has read the log {known}, and `log.url` names one {found}: set it back, or begin with a new data folder \
         and store"
    ))
}

/// What the audit says of the log that the store belongs to from now on.
fn begun(tag: &str) -> AuditEntry {
    AuditEntry {
        at: now(),
        actor: "server".to_owned(),
        action: "log.begin".to_owned(),
        subject: tag.to_owned(),
        reason: String::new(),
    }
}

fn open_admitter(
    store: &Arc<dyn Store>,
    progress: &Arc<Progress>,
    config: &DecisionsConfig,
    crawlers: &Arc<Crawlers>,
) -> Result<Admitter, StoreError> {
    let mut spared = config.spared.clone();
    spared.extend(own_addresses::all().into_iter().map(|it| (it, "an address of this host".to_owned())));
    Admitter::open(AdmitterParts {
        store: store.clone(),
        board: Arc::default(),
        progress: progress.clone(),
        brakes: config.brakes,
        spared,
        spares_local: config.spares_local,
        find_crawler: {
            let crawlers = crawlers.clone();
            Arc::new(move |it| crawlers.find(it))
        },
        on_decided: Arc::new(terminal::print_decisions),
    })
}

/// The admin key of the environment, when there is one and it is long enough.
pub(crate) fn admin_key_of_environment() -> Result<Option<String>, Failure> {
    let Ok(secret) = std::env::var(ADMIN_KEY_VARIABLE) else { return Ok(None) };
    if secret.chars().count() < ADMIN_KEY_CHARS_MIN || !secret.is_ascii() {
        return Err(Failure::usage(format!(
            "`{ADMIN_KEY_VARIABLE}` must have at least {ADMIN_KEY_CHARS_MIN} characters, all of them ASCII"
        )));
    }
    Ok(Some(secret))
}
