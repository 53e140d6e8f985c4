//! The connections to the database: as many as are needed at once, and never more than a limit.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::Error;

use super::connect::{Connector, Made};
use super::error::{Fault, is_final, timed_out};
use super::session::Session;
use super::settings::Settings;
use super::wait::wait;
use crate::store::StoreError;

/// How long a call waits for one of the connections before the store is said to be unavailable.
const WAIT: Duration = Duration::from_secs(5);
/// How long the question whether the server is there is waited for at least, once it is connected.
const PROBE_MIN: Duration = Duration::from_millis(200);

/// The connections to a database.
pub(super) struct Connections {
    connector: Connector,
    settings: Settings,
    /// What every connection is told first.
    greeting: String,
    pool: Mutex<Pool>,
    returned: Condvar,
    /// The connection by which it is found out whether the server is there, however busy the others are.
    probe: Mutex<Option<Session>>,
    /// What moves the bytes of all connections; `None` only while it is dropped.
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Session>,
    in_use: usize,
}

/// A connection that is ours until it is dropped.
pub(super) struct Lent<'a> {
    connections: &'a Connections,
    /// `None`: it is not to be used again.
    session: Option<Session>,
    /// Whether it was there before: then its other end may be long gone.
    pub(super) is_used: bool,
}

impl Lent<'_> {
    /// The connection.
    pub(super) fn session(&self) -> &Session {
        self.session.as_ref().expect("it has its session until it is given up")
    }

    /// Ends the connection instead of keeping it.
    pub(super) fn give_up(mut self) {
        self.session = None;
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = locked(&self.connections.pool);
        pool.in_use -= 1;
        pool.idle.extend(self.session.take().filter(|it| !it.is_closed()));
        drop(pool);
        self.connections.returned.notify_one();
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // Without waiting, which a thread of another runtime must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves whole values behind: a transaction that was open ends with its connection.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// Prepares to connect; nothing is sent yet.
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|it| StoreError::Unavailable(it.into()))?;
        Ok(Self {
            connector: Connector::new(settings)?,
            settings: settings.clone(),
            greeting: greeting_of(settings),
            pool: Mutex::default(),
            returned: Condvar::new(),
            probe: Mutex::default(),
            runtime: Some(runtime),
        })
    }

    /// How long one transaction may take before its connection is held for dead: a few of the longest statements.
    pub(super) fn patience(&self) -> Duration {
        self.settings.statement_timeout * 3 + Duration::from_secs(5)
    }

    pub(super) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until it is dropped")
    }

    pub(super) const fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How long it may take until all hosts were tried.
    pub(super) fn connect_patience(&self) -> Duration {
        let hosts = u32::try_from(self.settings.hosts.len()).unwrap_or(u32::MAX);
        // Twice: a name may have two addresses.
        self.settings.connect_timeout.saturating_mul(hosts.saturating_mul(2)).saturating_add(Duration::from_secs(1))
    }

    /// A connection, an idle one before a new one.
    pub(super) fn lend(&self) -> Result<Lent<'_>, StoreError> {
        self.reserve(true)
    }

    /// A connection that was made now. What idles is ended: it was made before something happened.
    pub(super) fn lend_new(&self) -> Result<Lent<'_>, StoreError> {
        self.reserve(false)
    }

    fn reserve(&self, may_be_used: bool) -> Result<Lent<'_>, StoreError> {
        let is_full = |it: &mut Pool| self.settings.connections_max <= it.in_use;
        let waited = self.returned.wait_timeout_while(locked(&self.pool), WAIT, is_full);
        let (mut pool, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(timed_out());
        }
        pool.in_use += 1;
        let former = std::mem::take(&mut pool.idle);
        let mut usable = former.into_iter().filter(|it| may_be_used && !it.is_closed());
        let idle = usable.next();
        pool.idle.extend(usable);
        drop(pool);
        // From here on its drop gives the place back.
        let mut lent = Lent { connections: self, session: None, is_used: idle.is_some() };
        lent.session = Some(idle.map_or_else(|| self.connect(), Ok)?);
        Ok(lent)
    }

    /// Makes a connection that is not counted.
    fn connect(&self) -> Result<Session, StoreError> {
        self.connect_or_tell(|it| StoreError::Unavailable(it.into()))
    }

    /// The same for the first of all; what no later try can change is a refusal.
    pub(super) fn connect_first(&self) -> Result<Session, StoreError> {
        self.connect_or_tell(|error| {
            if !is_final(&error) {
                return StoreError::Unavailable(error.into());
            }
            let told = error.as_db_error().map_or_else(|| error.to_string(), |it| it.message().to_owned());
            StoreError::Refused(format!("the database does not let us in: {told}"))
        })
    }

    fn connect_or_tell(&self, tell: impl FnOnce(Error) -> StoreError) -> Result<Session, StoreError> {
        let connector = self.connector.clone();
        let connecting = self.runtime().spawn(async move { connector.connect().await });
        let made = wait(connecting, self.connect_patience()).ok_or_else(timed_out)?;
        let mut session = self.drive(made.map_err(|_| timed_out())?.map_err(tell)?);
        let greeted = async {
            session.run(&self.greeting).await?;
            session.meet().await
        };
        wait(greeted, self.settings.connect_timeout).ok_or_else(timed_out)?.map_err(Fault::told)?;
        Ok(session)
    }

    fn drive(&self, made: Made) -> Session {
        // That a connection ended is told to whoever uses it next.
        let (client, task) = match made {
            Made::Plain(client, connection) => (client, self.runtime().spawn(async { drop(connection.await) })),
            Made::Tls(client, connection) => (client, self.runtime().spawn(async { drop(connection.await) })),
        };
        Session::new(client, task.abort_handle())
    }

    /// Whether the server answers; no question that others ask keeps this one waiting.
    pub(super) fn is_answering(&self) -> bool {
        let mut probe = locked(&self.probe);
        let until = Instant::now() + self.settings.connect_timeout;
        loop {
            let former = probe.take().filter(|it| !it.is_closed());
            let is_former = former.is_some();
            let Ok(session) = former.map_or_else(|| self.connect(), Ok) else { return false };
            let left = until.saturating_duration_since(Instant::now()).max(PROBE_MIN);
            if matches!(wait(session.run("SELECT FROM partitions LIMIT 0"), left), Some(Ok(()))) {
                *probe = Some(session);
                return true;
            }
            // The connection may have ended with a server that is back already; a new one is not tried twice.
            if !is_former {
                return false;
            }
        }
    }
}

/// What every connection is told first: limits of time, our schema, and that a commit is durable before it is answered
/// also where the server has been told to be quicker.
fn greeting_of(settings: &Settings) -> String {
    let timeout_ms = settings.statement_timeout.as_millis();
    let schema = &settings.schema;
    format!(
        "SET search_path TO \"{schema}\"; SET statement_timeout TO {timeout_ms}; \
         SET idle_in_transaction_session_timeout TO {timeout_ms}; SET lock_timeout TO {timeout_ms}; \
         SET client_min_messages TO warning; SET standard_conforming_strings TO on; SET TimeZone TO 'UTC'; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
}
