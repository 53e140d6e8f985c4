//! The gateway in this process: made of its configuration, bound, fed with the way into the log, ended in order.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway::gateway::Gateway;
use gateway::listener::serve;
use gateway::sink::Sink;
use gateway::upstream::tls::connector;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::config::gateway::GatewayConfig;
use crate::failure::Failure;
use crate::http::listener::{Stop, stopped};
use crate::http::tls::{Certificates, Looked};

/// How long requests may take to finish after the gateway is told to stop; then their events are handed over.
const DRAIN: Duration = Duration::from_secs(2);
/// How often the files of the certificate are looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(5);

/// A gateway that does not listen yet.
pub(crate) struct Proxy {
    pub(crate) gateway: Arc<Gateway>,
    config: GatewayConfig,
    certificates: Option<Arc<Certificates>>,
}

impl Proxy {
    /// Makes it; `spill` is the folder for events that wait.
    pub(crate) fn new(config: &GatewayConfig, spill: PathBuf) -> Result<Self, Failure> {
        let mut config = config.clone();
        fs::create_dir_all(&spill)
            .map_err(|it| Failure::unusable(format!("`{}` cannot be made: {it}", spill.display())))?;
        config.settings.spill_folder = spill;
        let needs_tls = config.settings.routes.iter().flat_map(|it| &it.upstreams).any(|it| it.is_tls);
        let tls = needs_tls.then(|| connector(config.upstream_ca.as_deref())).transpose();
        let tls = tls.map_err(|it| Failure::usage(it.to_string()))?;
        let certificates = config.tls.as_ref().map(Certificates::read).transpose()?.map(Arc::new);
        let gateway = Gateway::new(config.settings.clone(), tls).map_err(|it| Failure::failed(it.to_string()))?;
        Ok(Self { gateway, config, certificates })
    }

    /// Listens, and serves until `stop`.
    pub(crate) fn start(self, runtime: &Runtime, sink: Arc<dyn Sink>, stop: Stop) -> Result<JoinHandle<()>, Failure> {
        let address = self.config.listen;
        let listener = runtime.block_on(TcpListener::bind(address));
        let listener = listener.map_err(|it| Failure::failed(format!("`{address}` cannot be listened on: {it}")))?;
        let (certificate, acceptor) = watch::channel(self.certificates.as_ref().map(|it| it.acceptor()));
        if let Some(certificates) = self.certificates {
            runtime.spawn(renew(certificates, certificate, stop.clone()));
        }
        Ok(runtime.spawn(run(self.gateway, listener, acceptor, sink, stop)))
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
