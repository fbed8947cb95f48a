//! The section about Ollama, the models to preload, the node, the queue and the logs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use super::viewers::Viewer;
use crate::admin::Admin;
use crate::config::{Config, PlainHttp};
use crate::ollama::OllamaStatus;
use crate::panics;
use crate::proxy::Load;

/// How often Ollama is asked for its status while the page is open.
const ASK_INTERVAL: Duration = Duration::from_secs(5);

/// The age at which a status is no longer shown: the page has not been open since.
const OUTDATED: Duration = Duration::from_secs(15);

/// Makes the section.
pub(super) struct Health {
    admin: Arc<Admin>,
    ollama: Arc<Mutex<CachedStatus>>,
}

/// Ollama's latest status, for all viewers.
#[derive(Default)]
struct CachedStatus {
    asked: Option<Instant>,
    /// `None` until the first answer, or time-out, after a pause.
    status: Option<OllamaStatus>,
}

impl Health {
    pub(super) fn new(admin: Arc<Admin>) -> Self {
        Health { admin, ollama: Arc::default() }
    }

    /// A viewer limited to its own identity gets no models, addresses or errors, which could identify others.
    pub(super) fn section(&self, viewer: Viewer<'_>) -> impl Serialize + use<> {
        let all = viewer.sees_all();
        let node = self.admin.node.borrow().clone();
        let Load { running, waiting } = self.admin.proxy.load();
        let config = self.admin.settings.config();
        let mut faulty_logs = self.admin.sinks.states();
        faulty_logs.retain(|log| !log.is_sound());
        let ollama_status = self.ollama();
        // Before Ollama's first answer the states are not known.
        let preload = ollama_status.as_ref().filter(|_| all).map(|ollama| self.admin.preloaded(ollama));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "since": crate::time::format_rfc3339_seconds(self.admin.started),
            "stopping": self.admin.proxy.is_stopping(),
            "ollama": ollama_status.map(|status| ollama(status, viewer)),
            "preload": preload,
            "node": {
                "name": node.dns_name,
                "state": node.state,
                "running": node.is_running(),
                "key_expiry": node.key_expiry,
                "error": node.error.filter(|_| all),
                "warnings": all.then_some(node.warnings),
            },
            "logs": all.then_some(faulty_logs),
            "running": running,
            "waiting": waiting,
            "running_max": config.limits.running,
            "waiting_max": config.limits.waiting,
            "ports": ports(&config),
        })
    }

    /// Ollama's latest status, without waiting for the next one.
    fn ollama(&self) -> Option<OllamaStatus> {
        let mut cached = self.ollama.lock();
        let age = cached.asked.map(|asked| asked.elapsed());
        if age.is_none_or(|age| age >= OUTDATED) {
            cached.status = None;
        }
        if age.is_none_or(|age| age >= ASK_INTERVAL) {
            cached.asked = Some(Instant::now());
            let (shared, config) = (Arc::clone(&self.ollama), self.admin.settings.config());
            tokio::spawn(panics::named("Ollama's status for the page", async move {
                let status = OllamaStatus::ask(&config.upstream).await;
                shared.lock().status = Some(status);
            }));
        }
        cached.status.clone()
    }
}

fn ollama(status: OllamaStatus, viewer: Viewer<'_>) -> Value {
    let models = status.models.iter().map(|model| json!({ "name": model.name, "bytes": model.size }));
    json!({
        "version": status.version,
        "models": viewer.sees_all().then(|| models.collect::<Vec<_>>()),
        "fault": status.fault.filter(|_| viewer.sees_all()),
    })
}

/// What the page calls each port.
fn ports(config: &Config) -> Value {
    let plain = if config.plain_http == PlainHttp::Serve { "Ollama" } else { "HTTP" };
    json!({
        plain: config.port,
        "HTTPS": config.https_port,
        "the metrics": config.metrics_port,
        "this page": config.page_port,
    })
}
