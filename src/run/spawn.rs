//! Spawns a task for each server and watcher, on a node that has joined.

use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::build::{Parts, redirects_to};
use super::certificate::CertificateKeeper;
use super::close::Open;
use super::error::explain;
use super::expiry::remind_of_expiry;
use super::join::Joined;
use super::listeners::Listeners;
use super::node_events::NodeEvents;
use super::node_status;
use super::ollama_port::OllamaPort;
use super::ollama_watch::watch_ollama;
use super::reload::reload_on_hangup;
use super::running::Running;
use super::service_host::ServiceHost;
use super::stop::Stop;
use super::tasks::{self, Tasks};
use crate::admin::Admin;
use crate::admission::{Admission, QuotaKeeper};
use crate::audit::AuditSink;
use crate::awake::{AwakeState, InhibitorTool, Keeper};
use crate::events::{Events, Incoming, run_events, watch_logs};
use crate::page::Page;
use crate::preload::Preloader;
use crate::proxy::{MetricsPort, MetricsText, Proxy, RedirectPort};
use crate::settings::Settings;
use crate::sink::Sinks;
use crate::sweeper::{Sweeper, WatchedPorts};
use crate::tailnet::NodeStatus;
use crate::tls::CurrentCertificate;
use crate::tsnet::Node;

/// Spawns all tasks. The host of the Service is left in `open`.
pub(super) fn spawn(
    parts: Parts,
    joined: Joined,
    listeners: Listeners,
    hangup: Option<Signal>,
    stop: &Stop,
    open: &mut Open,
) -> Running {
    let Joined { node, status } = joined;
    let Parts { settings, node_status, proxy, admin, .. } = parts;
    settings.set_names(status.dns_name.clone(), status.addresses.clone(), Vec::new());
    node_status.send_replace(node_status::joined(&status));
    parts.authorizer.use_node(Arc::clone(&node));

    let mut spawner = Spawner { node, settings, node_status, tasks: Tasks::default() };
    spawner.watch_node(parts.watched, Arc::clone(proxy.audit()), &parts.events);
    spawner.watch_for_events(parts.events, parts.sinks);
    open.events = Some(spawner.run_events(parts.incoming, stop));
    spawner.reload_on(hangup);
    spawner.keep_awake(proxy.admission().clone(), parts.awake);
    spawner.keep_certificate(listeners.certificate);
    spawner.spawn_service_host(stop, open);
    spawner.preload_models(Preloader::new(Arc::clone(&spawner.settings), proxy.clone(), parts.preload), stop);
    spawner.keep_quotas(&proxy, open);
    let config = spawner.settings.config();
    let tasks = &mut spawner.tasks;
    if let Some((https_port, listener)) = redirects_to(&config).zip(listeners.redirect) {
        let node = spawner.node_status.subscribe();
        let redirects = RedirectPort::new(parts.redirect_port, node, https_port);
        tasks.spawn_server("redirect port", redirects.serve(listener));
    }
    if let Some((recent_activity, listener)) = parts.recent_activity.zip(listeners.page) {
        let page = Page::new(parts.page_port, Arc::clone(&admin), recent_activity);
        tasks.spawn_server("page port", page.serve(listener));
    }
    if let Some(listener) = listeners.metrics {
        let scrapes = MetricsPort::new(parts.metrics_port, metrics_text(admin));
        tasks.spawn_server("metrics port", scrapes.serve(listener));
    }
    let ollama_port = OllamaPort::spawn(proxy, listeners.ollama);
    let Spawner { settings, node_status, tasks, .. } = spawner;
    Running { settings, _node_status: node_status, tasks, ollama_port }
}

struct Spawner {
    node: Arc<Node>,
    settings: Arc<Settings>,
    node_status: watch::Sender<NodeStatus>,
    tasks: Tasks,
}

impl Spawner {
    /// The sweeper goes on while the proxy drains: a peer that loses access then is cut, too.
    fn watch_node(&mut self, ports: WatchedPorts, audit: Arc<AuditSink>, raised: &Events) {
        let changed = Arc::<Notify>::default();
        let sweeper = Sweeper {
            settings: Arc::clone(&self.settings),
            netmap: Arc::clone(&self.node),
            ports,
            node_status: self.node_status.subscribe(),
            changed: Arc::clone(&changed),
            audit,
        };
        self.tasks.spawn_endless("sweeper", async move { sweeper.run().await });
        let events = NodeEvents {
            settings: Arc::clone(&self.settings),
            node: Arc::clone(&self.node),
            node_status: self.node_status.clone(),
            changed,
        };
        let config = self.settings.config();
        self.tasks.spawn("node events", async move { explain(events.run().await, &config) });
        let (settings, node) = (Arc::clone(&self.settings), self.node_status.subscribe());
        let reminder = remind_of_expiry(settings, node, raised.clone());
        self.tasks.spawn_endless("key expiry reminder", reminder);
    }

    fn watch_for_events(&mut self, events: Events, sinks: Sinks) {
        self.tasks.spawn_endless("log watcher", watch_logs(events.clone(), sinks));
        self.tasks.spawn_endless("Ollama watcher", watch_ollama(events));
    }

    /// Not one of the tasks: they end before the proxy closes, and the command may take until then.
    fn run_events(&self, incoming: Incoming, stop: &Stop) -> JoinHandle<()> {
        let (stop, node) = (stop.clone(), self.node_status.subscribe());
        tokio::spawn(tasks::named(
            "event runner",
            run_events(incoming, node, async move { stop.wait().await }),
        ))
    }

    fn reload_on(&mut self, hangup: Option<Signal>) {
        if let Some(hangup) = hangup {
            self.tasks.spawn_endless("config reload", reload_on_hangup(Arc::clone(&self.settings), hangup));
        }
    }

    /// It goes on while the proxy drains: the requests that run then need the machine, too.
    fn keep_awake(&mut self, admission: Admission, state: watch::Sender<AwakeState>) {
        let keeper = Keeper::new(admission, self.settings.configs(), state, InhibitorTool::system());
        self.tasks.spawn_endless("keep awake", keeper.run());
    }

    fn keep_certificate(&mut self, certificate: Arc<CurrentCertificate>) {
        if self.settings.config().https_port.is_some() {
            let (node, settings) = (Arc::clone(&self.node), Arc::clone(&self.settings));
            let keeper = CertificateKeeper::new(node, settings, self.node_status.clone(), certificate);
            self.tasks.spawn_endless("certificate keeper", async move { keeper.run().await });
        }
    }

    /// Until the first signal: from then on only requests that run already go on.
    fn preload_models(&mut self, preloader: Preloader, stop: &Stop) {
        let stop = stop.clone();
        self.tasks.spawn_until_stop("preload", async move {
            tokio::select! {
                () = preloader.run() => {}
                () = stop.wait() => {}
            }
        });
    }

    /// The state folder belongs to this process by now, and no request is admitted yet.
    fn keep_quotas(&mut self, proxy: &Proxy, open: &mut Open) {
        let state_dir = &self.settings.config().node.state_dir;
        let keeper = Arc::new(QuotaKeeper::restore(proxy.admission().clone(), state_dir));
        open.quota_keeper = Some(Arc::clone(&keeper));
        self.tasks.spawn_endless("quota keeper", keeper.run());
    }

    fn spawn_service_host(&mut self, stop: &Stop, open: &mut Open) {
        if let Some(service) = self.settings.config().node.service.clone() {
            let (node, settings) = (Arc::clone(&self.node), Arc::clone(&self.settings));
            let host = Arc::new(ServiceHost::new(service, node, settings, self.node_status.clone()));
            open.service_host = Some(Arc::clone(&host));
            let stop = stop.clone();
            self.tasks.spawn_until_stop("Service host", async move { host.follow_ollama(&stop).await });
        }
    }
}

/// Makes the text of the metrics, as of each call.
fn metrics_text(admin: Arc<Admin>) -> MetricsText {
    Box::new(move || {
        let admin = Arc::clone(&admin);
        Box::pin(async move { admin.metrics().await })
    })
}
