//! The parts of the proxy, built from the config before there is a node.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;

use super::authorizer::NodeAuthorizer;
use super::node_status;
use crate::admin::Admin;
use crate::audit::{AuditSink, Observer};
use crate::awake::AwakeState;
use crate::config::{Config, PlainHttp};
use crate::events::{EventObserver, Events, Incoming};
use crate::page::RecentActivity;
use crate::preload::PreloadedModel;
use crate::proxy::{Port, Proxy};
use crate::settings::Settings;
use crate::sink::Sinks;
use crate::sweeper::WatchedPorts;
use crate::tailnet::{Authorizer, NodeStatus};

/// The parts, each of which works without a node until there is one.
pub(super) struct Parts {
    pub(super) started: Instant,
    pub(super) settings: Arc<Settings>,
    pub(super) authorizer: Arc<NodeAuthorizer>,
    pub(super) node_status: watch::Sender<NodeStatus>,
    pub(super) proxy: Proxy,
    pub(super) preload: watch::Sender<Vec<PreloadedModel>>,
    pub(super) metrics_port: Port,
    pub(super) page_port: Port,
    pub(super) redirect_port: Port,
    pub(super) watched: WatchedPorts,
    pub(super) awake: watch::Sender<AwakeState>,
    pub(super) admin: Arc<Admin>,
    /// Only where the page is on.
    pub(super) recent_activity: Option<Arc<RecentActivity>>,
    pub(super) events: Events,
    pub(super) incoming: Incoming,
    pub(super) sinks: Sinks,
}

impl Parts {
    pub(super) fn build(settings: Arc<Settings>, sinks: Sinks) -> Self {
        let (started, since) = (Instant::now(), SystemTime::now());
        let config = settings.config();
        let node_status = watch::Sender::new(node_status::joining());
        let authorizer = Arc::new(NodeAuthorizer::new(settings.configs(), node_status.subscribe()));
        let recent_activity = config.page_port.map(|_| recent_activity(&config, since));
        let (events, incoming) = Events::new(settings.configs());
        let mut observers: Vec<Arc<dyn Observer>> =
            vec![Arc::new(EventObserver::new(events.clone(), &config))];
        observers.extend(recent_activity.clone().map(|recent| recent as Arc<dyn Observer>));
        let journal = Some(Arc::clone(&sinks.journal));
        let audit = Arc::new(AuditSink::new(sinks.access.clone(), journal, observers));
        let proxy = Proxy::new(settings.rules(), Arc::clone(&authorizer) as Arc<dyn Authorizer>, audit);
        let [metrics_port, page_port, redirect_port] = std::array::from_fn(|_| proxy.port().another());
        let mut watched = WatchedPorts::default();
        watched.add(proxy.port(), config.ports());
        watched.add(&metrics_port, config.metrics_port);
        watched.add(&page_port, config.page_port);
        watched.add(&redirect_port, redirects_to(&config).map(|_| config.port));
        let preload = watch::Sender::default();
        let awake = watch::Sender::new(AwakeState::default());
        let admin = Arc::new(Admin {
            settings: Arc::clone(&settings),
            proxy: proxy.clone(),
            members: watched.members(),
            node: node_status.subscribe(),
            preload: preload.subscribe(),
            awake: awake.subscribe(),
            started: since,
            sinks: sinks.clone(),
        });
        Parts {
            started,
            settings,
            authorizer,
            node_status,
            proxy,
            preload,
            metrics_port,
            page_port,
            redirect_port,
            watched,
            awake,
            admin,
            recent_activity,
            events,
            incoming,
            sinks,
        }
    }
}

/// The HTTPS port, if plain requests are redirected to it.
pub(super) fn redirects_to(config: &Config) -> Option<u16> {
    config.https_port.filter(|_| config.plain_http == PlainHttp::Redirect)
}

/// What the page shows of the last days. The activity before `now` is read in the background.
fn recent_activity(config: &Config, now: SystemTime) -> Arc<RecentActivity> {
    let recent = Arc::new(RecentActivity::new(now));
    if let Err(error) = recent.read_back(config.clone()) {
        tracing::warn!(%error, "cannot read the activity before this start for the page");
    }
    recent
}
