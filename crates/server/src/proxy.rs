//! The gateway in this process: made of its configuration, bound, fed with the way into the log, changed when the
//! configuration changes, ended in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use decision::board::Board;
use gateway::crs::Crs;
use gateway::decisions::{Decisions, IsCrawler};
use gateway::gateway::Gateway;
use gateway::listener::serve;
use gateway::remote::Remote;
use gateway::sink::Sink;
use outbound::tls::connector;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::Raw;
use crate::config::gateway::{CrsConfig, GatewayConfig, RemoteConfig};
use crate::crs;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::http::listener::{Stop, listen, stopped};
use crate::http::tls::{Certificates, Looked};
use crate::remote::Follower;

/// How long requests may take to finish after the gateway is told to stop; then their events are handed over.
const DRAIN: Duration = Duration::from_secs(2);
/// How often the files of the certificate are looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(5);

/// How often the configuration is looked at.
const CONFIGURATION_EVERY: Duration = Duration::from_secs(2);
/// The keys that count at once when the configuration changes; the others count from the next start on.
const CHANGEABLE: [&str; 12] = [
    "gateway.upstream",
    "gateway.mode",
    "gateway.threshold",
    "gateway.routes",
    "gateway.inspect",
    "gateway.inspect_body",
    "gateway.fail",
    "gateway.unread",
    "gateway.crs",
    "gateway.crs_paranoia",
    "gateway.crs_threshold",
    "gateway.crs_exclude",
];

/// Reads the configuration again: file, environment and flags.
pub(crate) type Reread = Arc<dyn Fn() -> Result<Raw, Failure> + Send + Sync>;

/// A gateway that listens.
pub(crate) struct Proxying {
    /// Where clients reach it.
    pub(crate) url: String,
    /// Ends once connections have ended, events are handed over and the decisions of others are kept.
    pub(crate) ended: JoinHandle<()>,
}

/// A gateway that does not listen yet.
pub(crate) struct Proxy {
    pub(crate) gateway: Arc<Gateway>,
    config: GatewayConfig,
    certificates: Option<Arc<Certificates>>,
    follower: Option<Follower>,
}

impl Proxy {
    /// Makes it over a data folder; `board` has the decisions of this installation, `is_crawler` knows who was verified by it.
    pub(crate) fn new(
        config: &GatewayConfig,
        folder: &Folder,
        board: Arc<Board>,
        is_crawler: IsCrawler,
    ) -> Result<Self, Failure> {
        let spill = folder.gateway();
        let mut config = config.clone();
        fs::create_dir_all(&spill)
            .map_err(|it| Failure::unusable(format!("`{}` cannot be made: {it}", spill.display())))?;
        let remote = config.remote.as_ref().map(|it| Remote::new(it.stop_after));
        let follow = |(config, remote): (&RemoteConfig, &Arc<Remote>)| {
            Follower::begin(config, remote.clone(), folder.remote_decisions())
        };
        let follower = config.remote.as_ref().zip(remote.as_ref()).map(follow).transpose()?;
        config.settings.spill_folder = spill;
        let tls = connector_of(&config)?;
        config.settings.policy.crs = config.crs.as_ref().map(load_crs).transpose()?;
        let certificates = config.tls.as_ref().map(Certificates::read).transpose()?.map(Arc::new);
        let decisions = Decisions::new(board).and(remote).but(is_crawler);
        let gateway =
            Gateway::new(config.settings.clone(), tls, decisions).map_err(|it| Failure::failed(it.to_string()))?;
        Ok(Self { gateway, config, certificates, follower })
    }

    /// Listens, and serves until `stop`.
    pub(crate) fn start(
        self,
        runtime: &Runtime,
        sink: Arc<dyn Sink>,
        reread: Reread,
        stop: Stop,
    ) -> Result<Proxying, Failure> {
        let address = self.config.listen;
        let failed = |it: std::io::Error| Failure::failed(format!("`{address}` cannot be listened on: {it}"));
        let listener = runtime.block_on(async { listen(address) }).map_err(failed)?;
        let url = self.config.url(listener.local_addr().map_err(failed)?);
        let change = Change::new(self.gateway.clone(), &self.config, reread)?;
        runtime.spawn(change.follow(stop.clone()));
        let (certificate, acceptor) = watch::channel(self.certificates.as_ref().map(|it| it.acceptor()));
        if let Some(certificates) = self.certificates {
            runtime.spawn(renew(certificates, certificate, stop.clone()));
        }
        let following = self.follower.map(|it| runtime.spawn(it.run(stop.clone())));
        let running = run(self.gateway, listener, acceptor, sink, stop);
        let ended = async move {
            running.await;
            if let Some(following) = following {
                let _ = following.await;
            }
        };
        Ok(Proxying { url, ended: runtime.spawn(ended) })
    }
}

/// How TLS to upstreams is spoken, where one of them wants it.
fn connector_of(config: &GatewayConfig) -> Result<Option<TlsConnector>, Failure> {
    let needs_tls = config.settings.policy.routes.iter().flat_map(|it| &it.upstreams).any(|it| it.is_tls);
    let tls =
        needs_tls.then(|| connector(config.upstream_ca.as_deref(), "gateway.upstream_ca", &[b"http/1.1"])).transpose();
    tls.map_err(|it| Failure::usage(it.to_string()))
}

/// Loads the Core Rule Set, and says what of it does not run.
fn load_crs(config: &CrsConfig) -> Result<Crs, Failure> {
    let settings = seclang::settings::Settings {
        paranoia_level: config.paranoia,
        anomaly_threshold: config.threshold,
        exclusions: config.exclusions.clone(),
    };
    let loaded = crs::load(&config.folder, None, &settings)?;
    loaded.refused.iter().for_each(|it| tracing::warn!(reason = %it, "Something of the Core Rule Set does not run"));
    tracing::info!(
        rules = loaded.set.len(),
        refused = loaded.refused.len(),
        of_responses = loaded.of_responses,
        above_paranoia = loaded.set.left_out(),
        "Loaded the Core Rule Set"
    );
    Ok(Crs::new(loaded.set, config.threshold))
}

/// Takes over what changes in the configuration.
struct Change {
    gateway: Arc<Gateway>,
    reread: Reread,
    /// What was said of the gateway when it was last taken over.
    told: BTreeMap<&'static str, String>,
    /// The Core Rule Set: it is loaded only when what is said of it changes.
    crs: (Option<CrsConfig>, Option<Crs>),
    complained: String,
}

impl Change {
    fn new(gateway: Arc<Gateway>, config: &GatewayConfig, reread: Reread) -> Result<Self, Failure> {
        let told = reread()?.section("gateway");
        let crs = (config.crs.clone(), config.settings.policy.crs.clone());
        Ok(Self { gateway, reread, told, crs, complained: String::new() })
    }

    async fn follow(mut self, stop: Stop) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(CONFIGURATION_EVERY) => {}
                () = stopped(stop.clone()) => return,
            }
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            let Ok(back) = looked.await else { return };
            self = back;
        }
    }

    /// Looks once. What is wrong is said once; what was in force stays so then. Blocks.
    fn look(&mut self) {
        match self.take() {
            Ok(()) => self.complained.clear(),
            Err(failure) if failure.message == self.complained => {}
            Err(failure) => {
                self.complained = failure.message;
                tracing::error!(reason = %self.complained, "The changed configuration of the gateway is not taken; the former stays in force");
            }
        }
    }

    fn take(&mut self) -> Result<(), Failure> {
        let raw = (self.reread)()?;
        let told = raw.section("gateway");
        if told == self.told {
            return Ok(());
        }
        let config = raw.resolve()?.gateway;
        let mut config = config.ok_or_else(|| Failure::usage("it leaves the gateway without a route"))?;
        if config.crs != self.crs.0 {
            self.crs = (config.crs.clone(), config.crs.as_ref().map(load_crs).transpose()?);
        }
        config.settings.policy.crs = self.crs.1.clone();
        let tls = connector_of(&config)?;
        let is_other = |it: &&str| told.get(it) != self.told.get(it);
        let keys: BTreeSet<&str> = told.keys().chain(self.told.keys()).copied().collect();
        let later = keys.into_iter().filter(is_other).filter(|it| !CHANGEABLE.contains(it));
        self.gateway.change(config.settings.policy, tls);
        tracing::info!("Took over the changed configuration of the gateway");
        later.for_each(|key| tracing::warn!(key, "A changed setting of the gateway counts from the next start on"));
        self.told = told;
        Ok(())
    }
}

async fn run(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    acceptor: watch::Receiver<Option<TlsAcceptor>>,
    sink: Arc<dyn Sink>,
    stop: Stop,
) {
    let (finish, finishing) = watch::channel(false);
    let recording = tokio::spawn(gateway.clone().run(sink, finishing));
    let drained = async {
        stopped(stop.clone()).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = serve(gateway, listener, acceptor, stop.clone()) => {}
        () = drained => {}
    }
    finish.send_replace(true);
    if let Ok(Err(error)) = recording.await {
        tracing::error!(reason = %error, "The events of the gateway could not be kept");
    }
}

/// Reads the certificate again whenever its files change; a bad one leaves the one before in force.
async fn renew(certificates: Arc<Certificates>, certificate: watch::Sender<Option<TlsAcceptor>>, stop: Stop) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(CERTIFICATE_EVERY) => {}
            () = stopped(stop.clone()) => return,
        }
        let looking = certificates.clone();
        if let Ok(Looked::Taken) = tokio::task::spawn_blocking(move || looking.look()).await {
            certificate.send_replace(Some(certificates.acceptor()));
        }
    }
}
