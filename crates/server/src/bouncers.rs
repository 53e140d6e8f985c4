//! The listener for bouncers: it opens when somebody may come, and stays. Beside it what is done about those who pull.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use backends::store::{Scope, StoreError};
use enforcement::crowdsec;
use enforcement::edge::{Enforcement, Settings};
use enforcement::silence::Watch;
use notification::notifier::Notifier;
use pipeline::ingest::{Ingest, chain, now};
use tokio::runtime::Handle;

use crate::config::{Config, CrowdsecConfig};
use crate::core::Core;
use crate::failure::Failure;
use crate::greeting::print_alerts;
use crate::http::auth::Auth;
use crate::http::listener::{Stop, listen, serve, stopped};
use crate::http::service::{InFlight, Manners, Service};
use crate::http::tls::Certificates;

/// How often it is written who pulled.
const NOTE_EVERY: Duration = Duration::from_secs(3);

/// The listener for bouncers, open or not.
pub(crate) struct Bouncers {
    pub(crate) edge: Arc<Enforcement>,
    config: CrowdsecConfig,
    head_timeout: Duration,
    service: Arc<Service>,
    auth: Arc<Auth>,
    watch: Watch,
    notifier: Arc<Notifier>,
    /// What it needs to listen; nothing in a process that serves nobody.
    means: OnceLock<Means>,
    /// Where it listens.
    open: Mutex<Option<SocketAddr>>,
}

struct Means {
    runtime: Handle,
    tls: Option<Arc<Certificates>>,
    stop: Stop,
}

impl Bouncers {
    /// Joins what it needs; nobody is served yet.
    pub(crate) fn new(
        core: &Core,
        auth: &Arc<Auth>,
        ingest: &Arc<Ingest>,
        config: &Config,
        in_flight: &InFlight,
        is_tls: bool,
        notifier: Arc<Notifier>,
    ) -> Result<Self, StoreError> {
        let settings = Settings { expands_ranges: config.crowdsec.expands_ranges };
        let edge = Enforcement::open(core.admitter.board().clone(), core.store.clone(), Arc::new(now), settings)?;
        let routes = crowdsec::routes(&edge);
        let service = Service::new(routes, auth.clone(), ingest.clone(), config.body, in_flight.clone(), is_tls);
        Ok(Self {
            edge,
            config: config.crowdsec,
            head_timeout: config.head_timeout,
            service: Arc::new(service.with_manners(Manners::Crowdsec)),
            auth: auth.clone(),
            watch: Watch::default(),
            notifier,
            means: OnceLock::new(),
            open: Mutex::new(None),
        })
    }

    /// Lets it listen, now or once there is somebody to listen to.
    pub(crate) fn arm(&self, runtime: &Handle, tls: Option<Arc<Certificates>>, stop: Stop) -> Result<(), Failure> {
        // A second call would change nothing, and there is none.
        let _ = self.means.set(Means { runtime: runtime.clone(), tls, stop });
        self.open()
            .map_err(|it| Failure::failed(format!("`{}` cannot be listened on for bouncers: {it}", self.config.listen)))
    }

    /// Listens if somebody may come and it does not yet; when it cannot, that is logged and tried again.
    pub(crate) fn open_if_wanted(&self) {
        if let Err(error) = self.open() {
            tracing::error!(reason = %error, "`{}` cannot be listened on for bouncers; it is tried again", self.config.listen);
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> std::io::Result<()> {
        let Some(means) = self.means.get() else { return Ok(()) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_some() || !(self.config.is_wanted || self.auth.has_scope(Scope::Bouncer)) {
            return Ok(());
        }
        let _entered = means.runtime.enter();
        let listener = listen(self.config.listen)?;
        let address = listener.local_addr()?;
        let serving = serve(listener, means.tls.clone(), self.service.clone(), self.head_timeout, means.stop.clone());
        means.runtime.spawn(serving);
        *open = Some(address);
        drop(open);
        tracing::info!("Bouncers pull decisions at {address}");
        Ok(())
    }

    /// Writes who pulled, until `stop` and once more then.
    pub(crate) async fn keep(self: Arc<Self>, stop: Stop) {
        loop {
            let is_over = tokio::select! {
                () = tokio::time::sleep(NOTE_EVERY) => false,
                () = stopped(stop.clone()) => true,
            };
            if is_over {
                self.edge.close();
            }
            let bouncers = self.clone();
            // One that panicked is tried again.
            let _ = tokio::task::spawn_blocking(move || bouncers.look()).await;
            if is_over {
                return;
            }
        }
    }

    fn look(&self) {
        self.open_if_wanted();
        if let Err(error) = self.edge.pullers().note() {
            tracing::warn!(reason = %chain(&error), "It cannot be stored who pulled; it is tried again");
        }
        match self.watch.look(&self.edge, &|it| self.notifier.raised(it)) {
            Ok(alerts) => print_alerts(&alerts),
            Err(error) => {
                tracing::warn!(reason = %chain(&error), "Alarms about bouncers cannot be stored; it is tried again");
            }
        }
    }
}
