//! What can be asked, and the answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tokio::sync::watch;

use super::ollama::Ollama;
use super::reload::Reload;
use super::requests::{Cancelled, Requests};
use super::status::{NotReady, Parts, Status, not_ready};
use super::who::Who;
use crate::audit::{Metrics, Now};
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::tailnet::{Member, Situation};

/// What there is to ask about.
pub struct Admin {
    /// The config in force.
    pub settings: Arc<Settings>,
    /// The boundary.
    pub proxy: Proxy,
    /// The latest netmap, for each port.
    pub rosters: BTreeMap<u16, watch::Receiver<Arc<Vec<Member>>>>,
    /// The node.
    pub node: watch::Receiver<Situation>,
    /// When the proxy started.
    pub started: SystemTime,
}

type Answer = Response<Full<Bytes>>;

impl Admin {
    pub(super) async fn answer(&self, method: &Method, path: &str) -> Answer {
        match (method, path) {
            (&Method::GET, "/who") => json(StatusCode::OK, &self.who()),
            (&Method::GET, "/status") => json(StatusCode::OK, &self.status().await),
            (&Method::GET, "/requests") => {
                json(StatusCode::OK, &Requests::new(&self.proxy.live().sessions()))
            }
            (&Method::GET, "/healthz") => text("text/plain; charset=utf-8", "ok\n".to_owned()),
            (&Method::GET, "/readyz") => match self.not_ready().await {
                Some(why) => json(StatusCode::SERVICE_UNAVAILABLE, &why),
                None => text("text/plain; charset=utf-8", "ok\n".to_owned()),
            },
            (&Method::GET, "/metrics") => text(Metrics::CONTENT_TYPE, self.metrics().await),
            (&Method::POST, "/reload") => json(StatusCode::OK, &Reload::from(self.settings.reload())),
            (&Method::POST, path) => match request_to_cancel(path) {
                Some(id) => json(StatusCode::OK, &Cancelled { cancelled: self.proxy.live().cancel(id) }),
                None => unknown(),
            },
            _ => unknown(),
        }
    }

    /// Everybody in the netmap, with access to a port.
    fn roster(&self, port: Option<u16>) -> Arc<Vec<Member>> {
        let roster = port.and_then(|port| self.rosters.get(&port));
        roster.map(|roster| Arc::clone(&roster.borrow())).unwrap_or_default()
    }

    fn who(&self) -> Who {
        let config = self.settings.config();
        let rosters: Vec<_> = config.ports().map(|port| (port, self.roster(Some(port)))).collect();
        let metrics = self.roster(config.metrics_port);
        let node = self.node.borrow();
        let v4 = |ips: &[IpAddr]| ips.iter().find(|ip| ip.is_ipv4()).copied();
        let open = |ip: Option<IpAddr>, port| {
            ip.is_some_and(|ip| {
                self.proxy.admits_strangers(
                    (ip, port).into(),
                    rosters.first().map_or(&[], |(_, roster)| &roster[..]),
                )
            })
        };
        let own = v4(&node.addresses);
        let service = node.service.as_ref().and_then(|service| v4(&service.addresses));
        let metrics_open = config.metrics_port.is_some_and(|port| open(own, port));
        let ours = config.ports().any(|port| open(own, port));
        let anybody = ours || open(service, config.port) || metrics_open;
        Who::new(&config, &rosters, &metrics, &self.proxy.live().sessions(), node.has_joined(), anybody)
    }

    async fn status(&self) -> Status {
        let config = self.settings.config();
        let ollama = Ollama::ask(&config.upstream).await;
        let roster = self.roster(config.ports().next());
        let parts = Parts {
            config: &config,
            proxy: &self.proxy,
            roster: &roster,
            node: self.node.borrow().clone(),
            started: self.started,
            stopping: self.proxy.is_stopping(),
        };
        Status::new(parts, ollama)
    }

    async fn not_ready(&self) -> Option<NotReady> {
        let fault = Ollama::answers(&self.settings.config().upstream).await.err();
        not_ready(self.proxy.is_stopping(), &self.node.borrow(), fault.as_deref())
    }

    /// The metrics, as they are now.
    pub async fn metrics(&self) -> String {
        let ollama_up = Ollama::answers(&self.settings.config().upstream).await.is_ok();
        let (running, waiting) = self.proxy.load();
        self.proxy.metrics().text(&Now {
            running,
            waiting,
            connections: self.proxy.live().sessions().len(),
            node: &self.node.borrow(),
            ollama_up,
            started: self.started,
        })
    }
}

/// The ID in `/requests/ID/cancel`.
fn request_to_cancel(path: &str) -> Option<&str> {
    path.strip_prefix("/requests/")?.strip_suffix("/cancel")
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => answer(status, "application/json", body),
        Err(error) => {
            tracing::error!(%error, "an answer on the admin socket");
            answer(StatusCode::INTERNAL_SERVER_ERROR, "application/json", b"{}".to_vec())
        }
    }
}

fn text(kind: &'static str, body: String) -> Answer {
    answer(StatusCode::OK, kind, body.into_bytes())
}

fn unknown() -> Answer {
    answer(StatusCode::NOT_FOUND, "application/json", b"{}".to_vec())
}

fn answer(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
