//! The proxy at work: a node in the tailnet, the boundary on it, and what happens to either.

mod authorizer;
mod certificate;
mod error;
mod expiry;
mod join;
mod logout;
mod node_events;
mod node_status;
mod service_host;
mod stop;
mod tasks;

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinError;

use crate::admin::{Admin, AdminSocket};
use crate::config::{Config, PlainHttp, StartOffline, Withdraw};
use crate::control::{ControlTask, how_to_retag, tag_mismatch};
use crate::listen::Listen;
use crate::page::{Chronicle, Page};
use crate::panics;
use crate::proxy::{Drained, Port, Proxy, Redirects, Scrapes, Text};
use crate::settings::Settings;
use crate::sink::{Sink, Sinks};
use crate::sweeper::WatchedPorts;
use crate::tailnet::{Authorizer, NodeStatus};
use crate::tls::{CurrentCertificate, DualListener};
use crate::tsnet::{Event, Events, Node, Status};
use authorizer::NodeAuthorizer;
use certificate::Https;
pub use error::RunError;
use error::explain;
pub use join::{LoginStep, login};
pub use logout::logout;
use node_events::Follower;
use service_host::Host;
pub use stop::Stop;
use tasks::Tasks;

/// How often it is looked why the tailnet has not let the node in yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// After how long that is said though there is no reason: an ordinary join takes some seconds.
const LONG: Duration = Duration::from_secs(15);

/// How long closing may take, after what ran has ended. The library waits for itself for 10 s, and says nothing then.
const CLOSING: Duration = Duration::from_secs(8);

/// How much longer closing may take once told to stop at once.
const HURRY: Duration = Duration::from_secs(1);

/// How long stopping may take with this config, all in all.
pub fn time_to_stop(config: &Config) -> Duration {
    let handover = match config.shutdown.withdraw {
        Withdraw::First(handover) if config.node.service.is_some() => handover,
        _ => Duration::ZERO,
    };
    handover + config.shutdown.drain_timeout + CLOSING
}

/// What is open, to be closed whatever the proxy ends by.
#[derive(Default)]
struct Open {
    node: Option<Arc<Node>>,
    socket: Option<AdminSocket>,
    host: Option<Arc<Host>>,
}

/// Joins the tailnet and serves peers until told to stop. Whatever it ends by, the Service is withdrawn,
/// the admin socket closed and the node closed then, within 8 s. What is recorded goes to `sinks`.
///
/// # Errors
/// See [`RunError`].
pub async fn run(settings: Arc<Settings>, stop: &Stop, sinks: Sinks) -> Result<(), RunError> {
    let hangup = hangup();
    let mut open = Open::default();
    let ended = join_and_serve(Parts::new(settings, sinks), hangup, stop, &mut open).await;
    if ended.is_err() {
        stop.failed();
    }
    if !in_time(open.close(), stop).await {
        tracing::warn!("the tailnet node did not close in time: the process ends nevertheless");
    }
    if let Some(Drained { cut }) = ended? {
        tracing::info!(cut, "stopped");
    }
    Ok(())
}

impl Open {
    async fn close(self) {
        let Open { node, socket, host } = self;
        if let Some(host) = host {
            host.withdraw().await;
        }
        // Before the node gives the state folder up, in which the socket is.
        drop(socket);
        if let Some(node) = node {
            node.close().await;
        }
    }
}

/// Whether `closing` has ended within its time, which is shorter once told to stop at once.
async fn in_time(closing: impl Future<Output = ()>, stop: &Stop) -> bool {
    tokio::select! {
        () = closing => true,
        () = tokio::time::sleep(CLOSING) => false,
        () = async { stop.at_once().await; tokio::time::sleep(HURRY).await } => false,
    }
}

/// The parts, before there is a node.
struct Parts {
    started: Instant,
    settings: Arc<Settings>,
    word: Arc<NodeAuthorizer>,
    proxy: Proxy,
    metrics_port: Port,
    page_port: Port,
    redirecting: Port,
    watched: WatchedPorts,
    situation: watch::Sender<NodeStatus>,
    admin: Arc<Admin>,
    chronicle: Option<Arc<Chronicle>>,
    journal: Arc<Sink>,
}

impl Parts {
    fn new(settings: Arc<Settings>, sinks: Sinks) -> Self {
        let (started, since) = (Instant::now(), SystemTime::now());
        let config = settings.config();
        let situation = watch::Sender::new(node_status::joining());
        let word = Arc::new(NodeAuthorizer::new(settings.configs(), situation.subscribe()));
        let proxy = Proxy::new(settings.rules(), Arc::clone(&word) as Arc<dyn Authorizer>);
        let [metrics_port, page_port, redirecting] = std::array::from_fn(|_| proxy.port().another());
        let mut watched = WatchedPorts::default();
        watched.add(proxy.port(), config.ports());
        watched.add(&metrics_port, config.metrics_port);
        watched.add(&page_port, config.page_port);
        watched.add(&redirecting, redirects_to(&config).map(|_| config.port));
        let admin = Arc::new(Admin {
            settings: Arc::clone(&settings),
            proxy: proxy.clone(),
            members: watched.members(),
            node: situation.subscribe(),
            started: since,
            sinks: sinks.clone(),
        });
        let chronicle = config.page_port.map(|_| chronicle(&config, &proxy, since));
        Parts {
            started,
            settings,
            word,
            proxy,
            metrics_port,
            page_port,
            redirecting,
            watched,
            situation,
            admin,
            chronicle,
            journal: sinks.journal,
        }
    }
}

/// The port of HTTPS, if plain requests are redirected there.
fn redirects_to(config: &Config) -> Option<u16> {
    config.https_port.filter(|_| config.plain_http == PlainHttp::Redirect)
}

/// Nothing is returned if told to stop before the node is up.
async fn join_and_serve(
    parts: Parts,
    hangup: Option<Signal>,
    stop: &Stop,
    open: &mut Open,
) -> Result<Option<Drained>, RunError> {
    let config = &*parts.settings.config();
    if !join::may_join(config) {
        return Err(error::nothing_to_join_with(&config.node.credential));
    }
    tracing::info!(hostname = config.node.hostname, joins_with = %config.node.credential, "joining the tailnet");
    if config.node.start_offline == StartOffline::Cached {
        tracing::warn!(
            "node.start_offline = \"cached\": until the control server answers, whoever the tailnet let in when it was last heard of is let in"
        );
    }
    let Open { node, socket, .. } = open;
    let meanwhile = async |mut events: Events| {
        if let Err(failure) = open_socket(socket, &parts.admin) {
            return failure;
        }
        while let Some(event) = events.next().await {
            // Its states on the way, such as NeedsLogin before it has shown its key, are nobody's business.
            if let Event::Health(_) = event {
                parts.situation.send_modify(|known| node_status::note(known, &event));
            }
        }
        std::future::pending().await
    };
    let (node, status) = tokio::select! {
        joined = join::join(config, node, meanwhile) => joined?,
        () = stop.wait() => {
            tracing::info!("told to stop: the node had not joined yet");
            return Ok(None);
        }
        never = be_patient(config, parts.situation.subscribe()) => match never {},
    };
    open_socket(&mut open.socket, &parts.admin)?; // it may have been up at once
    serve(parts, node, &status, hangup, stop, open).await.map(Some)
}

/// Serves on a node that is up, until told to stop and what ran has ended.
async fn serve(
    parts: Parts,
    node: Arc<Node>,
    status: &Status,
    hangup: Option<Signal>,
    stop: &Stop,
    open: &mut Open,
) -> Result<Drained, RunError> {
    let Parts { settings, proxy, situation, admin, chronicle, .. } = parts;
    let config = &*settings.config();
    let explain = |error| explain(error, config);
    let listen = async |port: Option<u16>| match port {
        Some(port) => node.listen(port).await.map(Some).map_err(explain),
        None => Ok(None),
    };
    let shown = Arc::new(CurrentCertificate::default());
    let mut listener = DualListener::new();
    if config.plain_http == PlainHttp::Serve {
        listener = listener.http(node.listen(config.port).await.map_err(explain)?);
    }
    if let Some(https) = listen(config.https_port).await? {
        listener = listener.https(https, Arc::clone(&shown)).map_err(RunError::Listener)?;
    }
    let metrics_listener = listen(config.metrics_port).await?;
    let redirects_listener = listen(redirects_to(config).map(|_| config.port)).await?;
    let page_listener = listen(config.page_port).await?;

    if let Some(service) = &config.node.service {
        if status.tags.is_empty() {
            let way_out = ControlTask::Tag.at(config.node.control_url.as_deref());
            return Err(RunError::Untagged { service: service.clone(), way_out });
        }
        node.host_service(service, config.port).await.map_err(explain)?;
    }
    settings.set_names(status.dns_name.clone(), status.addresses.clone(), Vec::new());
    parts.word.ask_of(Arc::clone(&node));
    tracing::info!(
        name = status.dns_name,
        addresses = ?status.addresses,
        port = config.port,
        https_port = config.https_port,
        metrics_port = config.metrics_port,
        page_port = config.page_port,
        service = config.node.service,
        upstream = %config.upstream,
        endpoints = ?config.endpoints,
        ms = parts.started.elapsed().as_millis() as u64,
        "listening in the tailnet"
    );
    warn_of_other_name(config, status);
    warn_of_other_tags(config, status);

    let mut tasks = Tasks::default();
    let watcher = chronicle.as_ref().map(Chronicle::watcher);
    let (known, nodes) = (situation.clone(), Arc::clone(&node));
    let settled = Arc::clone(&settings);
    let follower = Follower::new(settled, nodes, parts.watched, known, status, parts.journal, watcher);
    let at_start = Arc::clone(&settings.config());
    // To the last request: whoever loses access loses it while the others are waited for, too.
    tasks.spawn("what follows the tailnet", async move { error::explain(follower.run().await, &at_start) });
    tasks.spawn("what reloads the config", reload_on_signal(Arc::clone(&settings), hangup));
    if config.https_port.is_some() {
        let https = Https::new(Arc::clone(&node), Arc::clone(&settings), situation.clone(), shown);
        tasks.spawn("what keeps the certificate", async move { match https.keep().await {} });
    }
    if let Some((https_port, listener)) = redirects_to(config).zip(redirects_listener) {
        let metrics = Arc::clone(proxy.metrics());
        let redirects = Redirects::new(parts.redirecting, metrics, situation.subscribe(), https_port);
        tasks.serve("the port that redirects", redirects.serve(listener));
    }
    if let Some((chronicle, listener)) = chronicle.zip(page_listener) {
        let page = Page::new(parts.page_port, Arc::clone(&admin), chronicle);
        tasks.serve("the page's port", page.serve(listener));
    }
    if let Some(listener) = metrics_listener {
        let scrapes = Scrapes::new(parts.metrics_port, Arc::clone(proxy.metrics()), metrics_of(admin));
        tasks.serve("the metrics' port", scrapes.serve(listener));
    }
    if let Some(service) = config.node.service.clone() {
        let host = Arc::new(Host::new(service, node, Arc::clone(&settings), situation));
        open.host = Some(Arc::clone(&host));
        let stop = stop.clone();
        tasks.spawn("what advertises the Service", async move {
            host.follow(&stop).await;
            std::future::pending().await
        });
    }
    serve_until_told(&settings, proxy, listener, tasks, stop, open).await
}

/// Serves until told to stop, then lets running requests end. A part that fails cuts them at once:
/// without it the proxy does not keep its promises.
async fn serve_until_told(
    settings: &Settings,
    proxy: Proxy,
    listener: impl Listen + 'static,
    mut tasks: Tasks,
    stop: &Stop,
    open: &mut Open,
) -> Result<Drained, RunError> {
    let (drain, told) = oneshot::channel::<Infallible>();
    let (cut, deadline) = oneshot::channel::<Infallible>();
    let serving = async move {
        proxy.serve(listener, async { drop(told.await) }, async { drop(deadline.await) }).await
    };
    let mut serving = tokio::spawn(panics::named("the port for Ollama", serving));
    let mut failed = async || match &mut open.socket {
        Some(socket) => tokio::select! {
            failure = tasks.failed() => failure,
            () = socket.failed() => RunError::Panicked { part: "the admin socket" },
        },
        None => tasks.failed().await,
    };
    let ended = |served: Result<io::Result<Drained>, JoinError>| match served {
        Ok(served) => served.map_err(RunError::Listener),
        Err(_) => Err(RunError::Panicked { part: "the port for Ollama" }),
    };
    let handed_over = async {
        stop.wait().await;
        if let (Some(host), Withdraw::First(handover)) = (&open.host, settings.config().shutdown.withdraw) {
            host.hand_over(handover, stop).await;
        }
    };
    let failure = tokio::select! {
        () = handed_over => None,
        failure = failed() => Some(failure),
        served = &mut serving => return ended(served),
    };
    if let Some(failure) = failure {
        drop((drain, cut));
        // Its requests are cut, or it is itself what hangs.
        let _ = in_time(async { drop(serving.await) }, stop).await;
        return Err(failure);
    }
    let deadline = settings.config().shutdown.drain_timeout;
    tracing::info!(?deadline, "stopping: running requests may end");
    drop(drain);
    let failure = tokio::select! {
        served = &mut serving => return ended(served),
        failure = failed() => Some(failure),
        () = stop.at_once() => {
            tracing::info!("told again to stop: running requests are cut");
            None
        }
        () = tokio::time::sleep(deadline) => None,
    };
    drop(cut);
    let served = ended(serving.await);
    failure.map_or(served, Err)
}

/// What the page tells of the last days; what happened before it reads meanwhile.
fn chronicle(config: &Config, proxy: &Proxy, now: SystemTime) -> Arc<Chronicle> {
    let chronicle = Arc::new(Chronicle::new(now));
    proxy.metrics().watched_by(chronicle.watcher());
    if let Err(error) = chronicle.read_back(config.clone()) {
        tracing::warn!(%error, "the page lacks what was before this start");
    }
    chronicle
}

/// Looked up whenever somebody reads them.
fn metrics_of(admin: Arc<Admin>) -> Text {
    Box::new(move || {
        let admin = Arc::clone(&admin);
        Box::pin(async move { admin.metrics().await })
    })
}

/// Has the admin socket answer, unless it does already. The state folder must be this process's.
fn open_socket(socket: &mut Option<AdminSocket>, admin: &Arc<Admin>) -> Result<(), RunError> {
    if socket.is_none() {
        *socket = Some(Arc::clone(admin).start().map_err(RunError::Admin)?);
    }
    Ok(())
}

/// SIGHUP; from now on it no longer ends the process.
fn hangup() -> Option<Signal> {
    signal(SignalKind::hangup())
        .inspect_err(|error| {
            tracing::warn!(%error, "SIGHUP can't be received: use `remote-ollama-proxy reload`");
        })
        .ok()
}

/// Takes a new config whenever SIGHUP comes, or has come.
async fn reload_on_signal(settings: Arc<Settings>, hangup: Option<Signal>) -> RunError {
    if let Some(mut hangup) = hangup {
        while hangup.recv().await.is_some() {
            let _ = settings.reload().await; // which says what becomes of it
        }
    }
    std::future::pending().await
}

/// Says why coming up takes its time, each reason once.
async fn be_patient(config: &Config, node: watch::Receiver<NodeStatus>) -> std::convert::Infallible {
    let begun = Instant::now();
    let mut said = HashSet::new();
    loop {
        tokio::time::sleep(PATIENCE).await;
        let reason = node.borrow().warnings.join("; ");
        if said.contains(&reason) || reason.is_empty() && begun.elapsed() < LONG {
            continue;
        }
        tracing::warn!(
            after = ?Duration::from_secs(begun.elapsed().as_secs()),
            deadline = ?config.node.up_timeout,
            reason,
            "the tailnet has not let the node in yet; log.level = \"info,tsnet=debug\" tells what it tries"
        );
        said.insert(reason);
    }
}

fn warn_of_other_name(config: &Config, status: &Status) {
    let given = status.dns_name.split('.').next().unwrap_or_default();
    if !given.is_empty() && given != config.node.hostname {
        tracing::warn!(
            wanted = config.node.hostname,
            given,
            "the name was taken in the tailnet, clients must use the given one; {}",
            ControlTask::Rename.at(config.node.control_url.as_deref())
        );
    }
}

fn warn_of_other_tags(config: &Config, status: &Status) {
    if let Some(reason) = tag_mismatch(&config.node.tags, status.user.as_deref(), &status.tags) {
        let way_out = how_to_retag(config.node.control_url.as_deref());
        tracing::warn!(reason, "the node's tags are not those of the config: {way_out}");
    }
}
