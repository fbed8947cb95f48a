//! The proxy at work: a node in the tailnet, the boundary on it, and what happens to either.

mod expiry;
mod failure;
mod follow;
mod host;
mod https;
mod join;
mod logout;
mod situation;
mod stop;
mod word;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::admin::Admin;
use crate::config::{Config, PlainHttp, StartOffline};
use crate::control::{Task, other_tags, retag};
use crate::judge::Watched;
use crate::page::{Chronicle, Page};
use crate::proxy::{Drained, Proxy, Redirects, Scrapes, Text};
use crate::settings::Settings;
use crate::tailnet::{Situation, Tailnet};
use crate::tls::{Ports, Shown};
use crate::tsnet::{Event, Events, Status};
pub use failure::Failure;
use failure::explain;
use follow::Follower;
use host::Host;
use https::Https;
pub use join::{Wait, login};
pub use logout::logout;
pub use stop::Stop;
use word::Word;

/// How often it is looked why the tailnet has not let the node in yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// After how long that is said though there is no reason: an ordinary join takes some seconds.
const LONG: Duration = Duration::from_secs(15);

/// Joins the tailnet and serves peers until told to stop.
///
/// # Errors
/// See [`Failure`].
pub async fn run(settings: Settings, stop: &Stop) -> Result<(), Failure> {
    let hangup = hangup();
    let (started, since) = (Instant::now(), SystemTime::now());
    let settings = Arc::new(settings);
    let config = &*settings.config();
    let explain = |error| explain(error, config);
    tracing::info!(hostname = config.node.hostname, joins_with = %config.node.credential, "joining the tailnet");
    if config.node.start_offline == StartOffline::Cached {
        tracing::warn!(
            "node.start_offline = \"cached\": until the control server answers, whoever the tailnet let in when it was last heard of is let in"
        );
    }
    let situation = watch::Sender::new(situation::joining());
    let word = Arc::new(Word::new(settings.configs(), situation.subscribe()));
    let proxy = Proxy::new(settings.rules(), Arc::clone(&word) as Arc<dyn Tailnet>);
    let [beside, page_port, redirecting] = std::array::from_fn(|_| proxy.port().another());
    let redirects = config.https_port.filter(|_| config.plain_http == PlainHttp::Redirect);
    let mut watched = Watched::default();
    watched.add(proxy.port(), config.ports());
    watched.add(&beside, config.metrics_port);
    watched.add(&page_port, config.page_port);
    watched.add(&redirecting, redirects.map(|_| config.port));
    let admin = Arc::new(Admin {
        settings: Arc::clone(&settings),
        proxy: proxy.clone(),
        rosters: watched.rosters(),
        node: situation.subscribe(),
        started: since,
    });
    let chronicle = config.page_port.map(|_| chronicle(config, &proxy, since));
    let mut closed = Some(Arc::clone(&admin));
    let meanwhile = async |mut events: Events| {
        if let Err(failure) = open(&mut closed) {
            return failure;
        }
        while let Some(event) = events.next().await {
            // Its states on the way, such as NeedsLogin before it has shown its key, are nobody's business.
            if let Event::Health(_) = event {
                situation.send_modify(|known| situation::note(known, &event));
            }
        }
        std::future::pending().await
    };
    let (node, status) = tokio::select! {
        joined = join::join(config, meanwhile) => joined?,
        () = stop.wait() => return Ok(()),
        never = be_patient(config, situation.subscribe()) => match never {},
    };
    open(&mut closed)?; // it may have been up at once
    let node = Arc::new(node);
    let listen = async |port: Option<u16>| match port {
        Some(port) => node.listen(port).await.map(Some).map_err(explain),
        None => Ok(None),
    };
    let shown = Arc::new(Shown::default());
    let mut listener = Ports::new();
    if config.plain_http == PlainHttp::Serve {
        listener = listener.http(node.listen(config.port).await.map_err(explain)?);
    }
    if let Some(https) = listen(config.https_port).await? {
        listener = listener.https(https, Arc::clone(&shown)).map_err(Failure::Listener)?;
    }
    let metrics_listener = listen(config.metrics_port).await?;
    let redirects_listener = listen(redirects.map(|_| config.port)).await?;
    let page_listener = listen(config.page_port).await?;

    if let Some(service) = &config.node.service {
        if status.tags.is_empty() {
            let way_out = Task::Tag.at(config.node.control_url.as_deref());
            return Err(Failure::Untagged { service: service.clone(), way_out });
        }
        node.host_service(service, config.port).await.map_err(explain)?;
    }
    settings.named(status.dns_name.clone(), status.addresses.clone(), Vec::new());
    word.ask_of(Arc::clone(&node));
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
        ms = started.elapsed().as_millis() as u64,
        "listening in the tailnet"
    );
    warn_of_other_name(config, &status);
    warn_of_other_tags(config, &status);

    let watcher = chronicle.as_ref().map(Chronicle::watcher);
    let (known, nodes) = (situation.clone(), Arc::clone(&node));
    let follower = Follower::new(Arc::clone(&settings), nodes, watched, known, &status, watcher);
    let https = config
        .https_port
        .map(|_| Https::new(Arc::clone(&node), Arc::clone(&settings), situation.clone(), shown));
    let https = async {
        match &https {
            Some(https) => https.keep().await,
            None => std::future::pending().await,
        }
    };
    let redirects = redirects.map(|https_port| {
        Redirects::new(redirecting, Arc::clone(proxy.metrics()), situation.subscribe(), https_port)
    });
    let redirects = async {
        match redirects.zip(redirects_listener) {
            Some((redirects, listener)) => redirects.serve(listener).await,
            None => std::future::pending().await,
        }
    };
    let mut host = config.node.service.clone().map(|service| {
        situation.send_modify(|known| known.service = Some(host::hosted(&service)));
        Host::new(service, Arc::clone(&node), Arc::clone(&settings), situation)
    });
    let pages = async {
        match chronicle.zip(page_listener) {
            Some((chronicle, listener)) => {
                Page::new(page_port, Arc::clone(&admin), chronicle).serve(listener).await
            }
            None => std::future::pending().await,
        }
    };
    let scrapes = Scrapes::new(beside, Arc::clone(proxy.metrics()), metrics_of(Arc::clone(&admin)));
    let scrapes = async {
        match metrics_listener {
            Some(listener) => scrapes.serve(listener).await,
            None => std::future::pending().await,
        }
    };
    let (fail, ended) = oneshot::channel();
    // To the last request: whoever loses access loses it while the others are waited for, too.
    let following = async {
        let _ = fail.send(follower.run().await);
        std::future::pending().await
    };
    let mut failed = None;
    let told = async {
        let stopped = async {
            match &mut host {
                Some(host) => host.until(stop).await,
                None => stop.wait().await,
            }
        };
        tokio::select! {
            () = stopped => {}
            error = ended => failed = error.ok(),
        }
        let deadline = settings.config().shutdown.drain_timeout;
        tracing::info!(?deadline, "stopping: running requests may end");
    };
    let deadline = async {
        tokio::select! {
            () = stop.at_once() => tracing::info!("told again to stop: running requests are cut"),
            () = tokio::time::sleep(settings.config().shutdown.drain_timeout) => {}
        }
    };
    let served = tokio::select! {
        served = proxy.serve(listener, told, deadline) => served,
        // For as long as the proxy serves.
        ended = scrapes => ended.map(|never| match never {}),
        ended = redirects => ended.map(|never| match never {}),
        never = https => match never {},
        ended = pages => ended.map(|never| match never {}),
        never = following => match never {},
        never = reload_on_signal(&settings, hangup) => match never {},
    };
    let Drained { cut } = served.map_err(Failure::Listener)?;
    if let Some(host) = &mut host {
        host.withdraw().await;
    }
    node.close().await;
    tracing::info!(cut, "stopped");
    failed.map_or(Ok(()), |error| Err(explain(error)))
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
fn open(admin: &mut Option<Arc<Admin>>) -> Result<(), Failure> {
    admin.take().map_or(Ok(()), Admin::start).map_err(Failure::Admin)
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
async fn reload_on_signal(settings: &Arc<Settings>, hangup: Option<Signal>) -> std::convert::Infallible {
    if let Some(mut hangup) = hangup {
        while hangup.recv().await.is_some() {
            let _ = settings.reload().await; // which says what becomes of it
        }
    }
    std::future::pending().await
}

/// Says why coming up takes its time, each reason once.
async fn be_patient(config: &Config, node: watch::Receiver<Situation>) -> std::convert::Infallible {
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
            Task::Rename.at(config.node.control_url.as_deref())
        );
    }
}

fn warn_of_other_tags(config: &Config, status: &Status) {
    if let Some(reason) = other_tags(&config.node.tags, status.user.as_deref(), &status.tags) {
        let way_out = retag(config.node.control_url.as_deref());
        tracing::warn!(reason, "the node's tags are not those of the config: {way_out}");
    }
}
