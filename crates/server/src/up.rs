//! Assembly: the parts joined, the roles started, and everything ended in order.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use backends::log::Log;
use backends::store::{Store, StoreError};
use console::state::Console;
use gateway::gateway::Gateway;
use model::alert::Alert;
use model::intake::{IngestError, Receipt, Submission};
use model::time::Timestamp;
use notification::notifier::Notifier;
use outbound::dns::resolver::Resolver;
use pipeline::actions::Actions;
use pipeline::admitter::{Admitter, Announcers};
use pipeline::detect::{DetectParts, Detector};
use pipeline::ingest::{Ingest, chain, now};
use pipeline::mark::Marker;
use pipeline::suspicion::suspect_of;
use sources::files::follow::{FileInput, Pace, follow};
use sources::files::stop::Stop;
use sources::sink::Sink;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::bouncers::Bouncers;
use crate::brokers::Brokers;
use crate::config::Config;
use crate::core::{Core, WhenAway, admin_key_of_environment};
use crate::crawlers::{AtTheDoor, Means};
use crate::failure::Failure;
use crate::folder::SOCKET;
use crate::greeting::{Places, greet, print_alerts};
use crate::http::auth::Auth;
use crate::http::deliveries::{self, Deliveries};
use crate::http::export::EXPORTS_MAX;
use crate::http::listener::{bind_owner, listen, serve, serve_owner};
use crate::http::own::{self, Own};
use crate::http::service::{InFlight, Service};
use crate::http::tls::Certificates;
use crate::http::{except, explain};
use crate::in_force::{InForce, Loaded};
use crate::proxy::{Proxy, Reread};
use crate::ruleset::{Selection, Shelf};
use crate::status::{StatusParts, status_source};
use crate::{lists, upkeep};

/// How long connections may take to finish what they began, after they are told to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// How long detection may take to catch up after that.
const CATCH_UP: Duration = Duration::from_secs(4);
/// How often rule files are looked at.
const RULES_EVERY: Duration = Duration::from_secs(2);
/// How often closed alerts are pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How many rows are pruned at once.
const PRUNE_ROWS: usize = 1000;

/// The parts over a data folder, joined and not yet listening.
pub(crate) struct Assembly {
    pub(crate) core: Core,
    pub(crate) service: Arc<Service>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) console: Arc<Console>,
    pub(crate) ingest: Arc<Ingest>,
    ingest_thread: thread::JoinHandle<()>,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) bouncers: Arc<Bouncers>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) brokers: Arc<Brokers>,
}

/// The way into the log, for the doors. What is known of the clients is written on events here, before they are appended.
pub(crate) struct Door {
    ingest: Arc<Ingest>,
    log: Arc<dyn Log>,
    marker: Marker,
}

impl Door {
    fn new(core: &Core, ingest: &Arc<Ingest>) -> Arc<Self> {
        let clients = Arc::new(AtTheDoor(core.crawlers.clone()));
        let marker = Marker::new(core.admitter.board().clone(), clients);
        Arc::new(Self { ingest: ingest.clone(), log: core.log.clone(), marker })
    }

    fn marked(&self, mut submission: Submission) -> Submission {
        self.marker.mark(&mut submission.events, now());
        submission
    }
}

impl Sink for Door {
    fn submit(&self, submission: Submission) -> Pin<Box<dyn Future<Output = Result<Receipt, IngestError>> + Send>> {
        let (ingest, submission) = (self.ingest.clone(), self.marked(submission));
        Box::pin(async move { ingest.submit(submission).await })
    }

    fn submit_blocking(&self, submission: Submission) -> Result<Receipt, IngestError> {
        self.ingest.submit_blocking(self.marked(submission))
    }

    fn count_refused_request(&self) {
        self.ingest.count_refused_request();
    }

    fn mark(&self, key: &str) -> Option<Vec<u8>> {
        self.log.mark(key)
    }

    fn now(&self) -> Timestamp {
        now()
    }
}

impl gateway::sink::Sink for Door {
    fn submit(&self, submission: Submission) -> gateway::sink::Submitted {
        Sink::submit(self, submission)
    }
}

/// Joins the parts.
pub(crate) fn assemble(
    core: Core,
    config: &Config,
    gateway: Option<Arc<Gateway>>,
    notifier: Arc<Notifier>,
    loaded: Arc<Loaded>,
) -> Result<Assembly, Failure> {
    let (ingest, ingest_thread) = core.start_ingest()?;
    let store_failed =
        |it: backends::store::StoreError| Failure::unusable(format!("the store cannot be read: {}", chain(&it)));
    let auth = Auth::new(core.store.clone(), config.access, config.anonymous_rate).map_err(store_failed)?;
    let auth = Arc::new(auth);
    let in_flight = InFlight::default();
    // Behind a proxy that speaks TLS the browser does, too.
    let is_tls = config.tls.is_some() || config.access.is_behind_proxy;
    let bouncers =
        Bouncers::new(&core, &auth, &ingest, config, &in_flight, is_tls, notifier.clone()).map_err(store_failed)?;
    let bouncers = Arc::new(bouncers);
    let deliveries = Arc::new(Deliveries::new(notifier.clone(), core.store.clone()));
    let brokers = Arc::new(Brokers::new(config.brokers.resolve(&notifier.targets())?));
    let status = status_source(StatusParts {
        progress: core.progress.clone(),
        loaded: loaded.clone(),
        in_flight: in_flight.clone(),
        snapshots: core.folder.snapshots(),
        started_at: now(),
        gateway,
        enforcement: bouncers.edge.clone(),
        deliveries: deliveries.clone(),
        brokers: brokers.clone(),
    });
    let console = Console::new(
        core.store.clone(),
        core.log.clone(),
        core.ledger.clone(),
        ingest.clone(),
        core.admitter.clone(),
        status,
    );
    let door: Arc<dyn Sink> = Door::new(&core, &ingest);
    let mut routes = sources::http::routes(door, sources::http::RecordLimits { records_max: config.records_max });
    // The changes of decisions come before one decision of that name.
    routes.extend(enforcement::routes(&bouncers.edge));
    routes.extend(console::routes(console.clone()));
    let announced = notifier.clone();
    console.announce_closed(Arc::new(move |alert: &Alert, at: Timestamp| announced.closed(alert, at)));
    routes.extend(deliveries::routes(&deliveries));
    routes.extend(brokers.routes());
    routes.extend(own::routes(&Arc::new(Own {
        store: core.store.clone(),
        auth: auth.clone(),
        is_tls,
        log_tag: core.log.tag(),
        exports: Arc::new(tokio::sync::Semaphore::new(EXPORTS_MAX)),
        bouncers: bouncers.clone(),
    })));
    routes.extend(except::routes(core.log.clone(), Selection::of(config)));
    routes.extend(explain::routes(core.log.clone(), core.store.clone(), core.folder.rulesets()));
    console.describe(&routes);
    let service = Arc::new(Service::new(routes, auth.clone(), ingest.clone(), config.body, in_flight, is_tls));
    Ok(Assembly {
        core,
        service,
        auth,
        console,
        ingest,
        ingest_thread,
        loaded,
        bouncers,
        notifier,
        deliveries,
        brokers,
    })
}

impl Assembly {
    /// Writes what waits; returns what holds the folder.
    pub(crate) fn finish(self) -> Core {
        self.ingest.close();
        self.core.log.close();
        if self.ingest_thread.join().is_err() {
            tracing::error!("The thread that appends panicked");
        }
        self.core
    }
}

/// What a running server was asked for.
pub(crate) struct Options {
    pub(crate) config: Config,
    /// Whether it feeds itself with labelled traffic.
    pub(crate) is_demo: bool,
    /// Reads the configuration again.
    pub(crate) reread: Reread,
}

/// Runs a server until it is told to stop.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let config = options.config;
    let environment_key = admin_key_of_environment()?;
    let tls = config.tls.as_ref().map(Certificates::read).transpose()?.map(Arc::new);
    let selection = Selection::of(&config);
    let sources = selection.read()?;
    let (rules, errors, complaints) = sources.compile();
    errors.iter().for_each(|it| tracing::error!(rule = %it, "Refused a rule; the others are in force"));
    complaints.iter().for_each(|it| tracing::warn!("{it}"));
    let rules = Arc::new(rules);

    let notifier = config.notify.notifier()?;
    let resolver = config.crawlers.address()?;
    let core = Core::open(&config.data, &config, WhenAway::Wait)?;
    let owners = core.folder.owners()?;
    end_leases(core.store.as_ref(), &owners)?;
    let proxy = config
        .gateway
        .as_ref()
        .map(|it| Proxy::new(it, &core.folder, core.admitter.board().clone(), core.crawlers.is_one()))
        .transpose()?;
    let gateway = proxy.as_ref().map(|it| it.gateway.clone());
    if let Some(gateway) = &gateway {
        gateway.except(rules.exceptions().clone());
    }
    let admin_key = core.ensure_admin_key(environment_key.as_deref())?;
    let shelf = Arc::new(Shelf::new(core.folder.rulesets()));
    let actions = Arc::new(Actions::new(sources.policy.clone(), config.decisions.spoofable.clone()));
    let spoofable = config.decisions.spoofable.clone();
    let loaded = Arc::<Loaded>::default();
    let in_force = InForce {
        selection,
        shelf: shelf.clone(),
        rules: rules.clone(),
        sources: Arc::new(sources),
        read: rules.digest.clone(),
        is_waiting: true,
        actions: actions.clone(),
        gateway: gateway.clone(),
        loaded: loaded.clone(),
    };
    let in_force = in_force.begun(core.log.as_ref());
    core.admitter.suspect_by(suspect_of(core.log.clone(), core.ledger.clone(), spoofable));
    core.admitter.announce_by({
        let (alarms, decisions) = (notifier.clone(), notifier.clone());
        Announcers { alarm: Arc::new(move |it| alarms.raised(it)), decision: Arc::new(move |it| decisions.decided(it)) }
    });
    let detector = Detector::open(DetectParts {
        log: core.log.clone(),
        store: core.store.clone(),
        ledger: core.ledger.clone(),
        progress: core.progress.clone(),
        rules: rules.clone(),
        rules_by_digest: Arc::new(move |it: &str| shelf.find(it)),
        bounds: config.bounds,
        snapshots: core.folder.snapshots(),
        actions,
        on_raised: on_raised(core.admitter.clone()),
        announce: {
            let notifier = notifier.clone();
            Arc::new(move |alert: &Alert| notifier.raised(alert))
        },
    });
    let detector = detector.map_err(|it| Failure::unusable(chain(&it)))?;
    let assembly = assemble(core, &config, gateway, notifier, loaded)?;
    assembly.loaded.refused.store(errors.len() as u64, Ordering::Relaxed);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("serve").build();
    let runtime = runtime.map_err(|it| Failure::failed(format!("no threads: {it}")))?;
    assembly.core.crawlers.start(Means {
        runtime: runtime.handle().clone(),
        admitter: assembly.core.admitter.clone(),
        resolver: resolver.map(Resolver::new),
        list: lists::crawlers(&config.data),
    });
    let bound = runtime.block_on(bind(&config, &assembly));
    let (listener, owner, address) = match bound {
        Ok(it) => it,
        Err(failure) => {
            assembly.finish();
            return Err(failure);
        }
    };
    let (stop, stopping) = watch::channel(false);
    let proxying =
        match proxy.map(|it| it.start(&runtime, door(&assembly), options.reread, stopping.clone())).transpose() {
            Ok(it) => it,
            Err(failure) => {
                assembly.finish();
                return Err(failure);
            }
        };
    // The board is complete by now: a bouncer that is turned away in its first second is gone for good.
    if let Err(failure) = assembly.bouncers.arm(runtime.handle(), tls.clone(), stopping.clone()) {
        assembly.finish();
        return Err(failure);
    }
    let stop_detecting = Arc::new(AtomicBool::new(false));
    let detecting = {
        let (stop_detecting, stop) = (stop_detecting.clone(), stop.clone());
        let run = move || {
            let ended = detector.run(stop_detecting, CATCH_UP);
            // Without detection nothing is worth serving.
            stop.send_replace(true);
            ended
        };
        thread::Builder::new()
            .name("detect".into())
            .spawn(run)
            .map_err(|it| Failure::failed(format!("no thread: {it}")))?
    };
    let admitting = start_admitter(&assembly.core.admitter, &stop_detecting, &stop)?;
    let stop_reading = Stop::default();
    let door: Arc<dyn Sink> = door(&assembly);
    let readers = follow_files(&config, &door, &stop_reading)?;
    let reading = assembly.brokers.read(runtime.handle(), &door, &stopping);
    let demo = options.is_demo.then(|| crate::commands::demo::spawn(assembly.ingest.clone(), stop_reading.clone()));

    // Before anybody can know that we are there: a signal must never meet a process that does not wait for it.
    let signals = runtime.block_on(async { Signals::new() })?;
    let service = assembly.service.clone();
    if let Some(certificates) = tls.clone() {
        runtime.spawn(upkeep::renew_certificates(certificates, stopping.clone()));
    }
    let mut delivering =
        assembly.notifier.start(runtime.handle(), &assembly.core.store, &assembly.core.folder.owners()?, &stopping);
    let (log, ingest) = (&assembly.core.log, &assembly.ingest);
    delivering.extend(assembly.brokers.forward(runtime.handle(), log, ingest, &stopping));
    delivering.extend(reading);
    runtime.spawn(upkeep::tend_outbox(assembly.deliveries.clone(), config.notify.limits, stopping.clone()));
    runtime.spawn(upkeep::note_key_uses(assembly.auth.clone(), stopping.clone()));
    let keeping = runtime.spawn(assembly.bouncers.clone().keep(stopping.clone()));
    let serving = runtime.spawn(serve(listener, tls.clone(), service.clone(), config.head_timeout, stopping.clone()));
    runtime.spawn(serve_owner(owner, service, stopping.clone()));
    let gateway_url = proxying.as_ref().map(|it| it.url.as_str());
    let host = tls.as_ref().and_then(|it| it.host());
    greet(&config, &assembly, &admin_key, Places { address, host, gateway: gateway_url })?;
    assembly.core.folder.keep_reserve();
    assembly.console.set_ready(true);
    runtime.block_on(live(&config, &assembly, in_force, &stop, signals));

    assembly.console.set_ready(false);
    stop.send_replace(true);
    stop_reading.stop();
    runtime.block_on(async {
        // Whoever is slower than this is cut off.
        let _ = tokio::time::timeout(DRAIN, serving).await;
        let delivered = async {
            for worker in delivering {
                let _ = worker.await;
            }
        };
        let _ = tokio::time::timeout(DRAIN, delivered).await;
        if let Some(proxying) = proxying {
            let _ = tokio::time::timeout(DRAIN, proxying.ended).await;
        }
        let _ = tokio::time::timeout(DRAIN, keeping).await;
    });
    runtime.shutdown_timeout(Duration::from_millis(500));
    readers.into_iter().chain(demo).for_each(|it| {
        let _ = it.join();
    });
    // What is not written is lost, and is of little weight.
    let _ = assembly.auth.note_uses();
    let core = assembly.finish();
    stop_detecting.store(true, Ordering::Relaxed);
    let ended = detecting.join();
    core.admitter.wake();
    let admitted = admitting.join();
    drop(core);
    match ended {
        Ok(Ok(())) => match admitted {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::failed(chain(&error))),
            Err(_) => Err(Failure::failed("the thread of decisions panicked")),
        },
        Ok(Err(error)) => Err(Failure::failed(chain(&error))),
        Err(_) => Err(Failure::failed("the thread of detection panicked")),
    }
}

/// Gives back the messages that were on their way when the process before ended: the folder is ours, so whoever of `owners`
/// held them is gone. Where that cannot be written now, they wait until their time is over.
fn end_leases(store: &dyn Store, owners: &str) -> Result<(), Failure> {
    match store.end_leases(owners) {
        Ok(0) => {}
        Ok(messages) => {
            tracing::info!(messages, "Messages were on their way when the process before ended; they may arrive twice");
        }
        Err(error) if error.is_transient() => {
            tracing::warn!(reason = %chain(&error), "Messages that were on their way wait longer");
        }
        Err(error) => return Err(Failure::unusable(chain(&error))),
    }
    Ok(())
}

/// Starts the thread that judges what rules propose; when it cannot go on, the server ends.
fn start_admitter(
    admitter: &Arc<Admitter>,
    stop_admitting: &Arc<AtomicBool>,
    stop: &watch::Sender<bool>,
) -> Result<thread::JoinHandle<Result<(), StoreError>>, Failure> {
    let (admitter, stop_admitting, stop) = (admitter.clone(), stop_admitting.clone(), stop.clone());
    let run = move || {
        let ended = admitter.run(&stop_admitting);
        stop.send_replace(true);
        ended
    };
    thread::Builder::new().name("admit".into()).spawn(run).map_err(|it| Failure::failed(format!("no thread: {it}")))
}

fn door(assembly: &Assembly) -> Arc<Door> {
    Door::new(&assembly.core, &assembly.ingest)
}

/// What is done with new alerts: what follows from them is judged, the terminal shows them.
fn on_raised(admitter: Arc<Admitter>) -> pipeline::detect::OnRaised {
    Arc::new(move |alerts: &[Alert]| {
        admitter.wake();
        print_alerts(alerts);
    })
}

/// Starts a thread for each file that is to be followed.
fn follow_files(config: &Config, sink: &Arc<dyn Sink>, stop: &Stop) -> Result<Vec<thread::JoinHandle<()>>, Failure> {
    let mut names = std::collections::BTreeSet::new();
    let mut threads = Vec::new();
    for path in &config.watch {
        let name = path.display().to_string();
        if !names.insert(name.clone()) {
            return Err(Failure::usage(format!("`{name}` is to be watched twice")));
        }
        let input = FileInput { path: path.clone(), name, format: None, synthetic: false };
        let (sink, stop) = (sink.clone(), stop.clone());
        let follow = move || {
            follow(&input, sink.as_ref(), &stop, &Pace::default());
        };
        let thread = thread::Builder::new().name("follow".into()).spawn(follow);
        threads.push(thread.map_err(|it| Failure::failed(format!("no thread: {it}")))?);
    }
    Ok(threads)
}

async fn bind(
    config: &Config,
    assembly: &Assembly,
) -> Result<(TcpListener, tokio::net::UnixListener, SocketAddr), Failure> {
    let failed = |it: std::io::Error| Failure::failed(format!("`{}` cannot be listened on: {it}", config.listen));
    let listener = listen(config.listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let folder = assembly.core.folder.open()?;
    let owner = bind_owner(&folder, SOCKET)
        .map_err(|it| Failure::unusable(format!("`{SOCKET}` cannot be made in the data folder: {it}")))?;
    Ok((listener, owner, address))
}

/// The signals that ask for the end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let failed = |it: std::io::Error| Failure::failed(format!("signals cannot be waited for: {it}"));
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt()).map_err(failed)? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a signal, and meanwhile looks after rules and retention.
async fn live(config: &Config, assembly: &Assembly, in_force: InForce, stop: &watch::Sender<bool>, signals: Signals) {
    let mut signals = signals;
    let mut stopped = stop.subscribe();
    let mut in_force = in_force;
    let mut reload = tokio::time::interval(RULES_EVERY);
    let mut prune = tokio::time::interval(PRUNE_EVERY);
    reload.reset();
    loop {
        tokio::select! {
            () = signals.next() => break,
            _ = stopped.wait_for(|it| *it) => break,
            _ = reload.tick() => {
                if assembly.core.log.is_taken_over() {
                    tracing::error!("Another process works on the log now; this one ends");
                    break;
                }
                assembly.core.folder.keep_reserve();
                let (before, log) = (in_force.clone(), assembly.core.log.clone());
                let progress = assembly.core.progress.clone();
                let tended = tokio::task::spawn_blocking(move || before.tend(log.as_ref(), &progress));
                // A log that does not answer must not keep it from ending.
                tokio::select! {
                    tended = tended => if let Ok(Some(changed)) = tended {
                        in_force = changed;
                    },
                    () = signals.next() => break,
                }
            }
            _ = prune.tick() => {
                let (store, keep, warn_bytes) = (assembly.core.store.clone(), config.keep_closed, config.store_warn_bytes);
                // What could not be pruned is pruned the next time.
                let _ = tokio::task::spawn_blocking(move || look_after(store.as_ref(), keep, warn_bytes)).await;
            }
        }
    }
    tracing::info!("Stopping: connections finish, what was taken is stored; a second signal ends at once");
    tokio::spawn(async move {
        signals.next().await;
        // Nothing acknowledged is lost by it: what was taken is synced, and detection goes on from there.
        std::process::exit(0);
    });
}

/// Prunes, and warns of a store that is large all the same: open alerts are kept until somebody closes them.
fn look_after(store: &dyn Store, keep: Duration, warn_bytes: u64) {
    if let Ok(size_bytes) = store.size_bytes()
        && warn_bytes < size_bytes
    {
        tracing::warn!(
            size_bytes,
            warn_bytes,
            "The store is larger than `store.warn_size`: close alerts, or give keys that send findings a rate"
        );
    }
    while store.prune(now(), keep, PRUNE_ROWS).is_ok_and(|it| it == PRUNE_ROWS) {}
}
