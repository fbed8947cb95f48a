//! The listeners of the node's ports, and the Service's addresses.

use std::sync::Arc;

use super::build::redirects_to;
use super::error::{RunError, explain};
use super::join::Joined;
use crate::audit::AuditSink;
use crate::config::{Config, PlainHttp};
use crate::control::ControlTask;
use crate::tls::{CurrentCertificate, DualListener};
use crate::tsnet::Listener;

/// One listener for each port that the config turns on.
pub(super) struct Listeners {
    pub(super) ollama: DualListener<Listener>,
    /// The certificate that the listener for HTTPS presents.
    pub(super) certificate: Arc<CurrentCertificate>,
    pub(super) metrics: Option<Listener>,
    pub(super) page: Option<Listener>,
    pub(super) redirect: Option<Listener>,
}

impl Listeners {
    /// # Errors
    /// The node can't listen, or can't host the Service.
    pub(super) async fn open(
        config: &Config,
        joined: &Joined,
        audit: &Arc<AuditSink>,
    ) -> Result<Self, RunError> {
        let explain = |error| explain(error, config);
        let listen = async |port: Option<u16>| match port {
            Some(port) => joined.node.listen(port).await.map(Some).map_err(explain),
            None => Ok(None),
        };
        let certificate = Arc::new(CurrentCertificate::default());
        let mut ollama = DualListener::new();
        if let Some(http) = listen((config.plain_http == PlainHttp::Serve).then_some(config.port)).await? {
            ollama = ollama.http(http);
        }
        if let Some(https) = listen(config.https_port).await? {
            ollama = ollama
                .https(https, Arc::clone(&certificate), Arc::clone(audit))
                .map_err(RunError::Listener)?;
        }
        let metrics = listen(config.metrics_port).await?;
        let redirect = listen(redirects_to(config).map(|_| config.port)).await?;
        let page = listen(config.page_port).await?;
        accept_service_connections(config, joined).await?;
        Ok(Listeners { ollama, certificate, metrics, page, redirect })
    }
}

/// Takes the Service's connections, too. The tailnet routes no client here until the Service is advertised.
async fn accept_service_connections(
    config: &Config,
    Joined { node, status }: &Joined,
) -> Result<(), RunError> {
    let Some(service) = &config.node.service else { return Ok(()) };
    if status.tags.is_empty() {
        let way_out = ControlTask::Tag.at(config.node.control_url.as_deref());
        return Err(RunError::Untagged { service: service.clone(), way_out });
    }
    node.host_service(service, config.port).await.map_err(|error| explain(error, config))
}
