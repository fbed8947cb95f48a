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
use super::who::{MembersByPort, Who};
use crate::audit::{Metrics, Now};
use crate::config::PlainHttp;
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::sink::Sinks;
use crate::tailnet::{Member, NodeStatus};

/// What there is to ask about.
pub struct Admin {
    /// The config in force.
    pub settings: Arc<Settings>,
    /// The boundary.
    pub proxy: Proxy,
    /// The latest netmap, for each port.
    pub members: BTreeMap<u16, watch::Receiver<Arc<Vec<Member>>>>,
    /// The node.
    pub node: watch::Receiver<NodeStatus>,
    /// When the proxy started.
    pub started: SystemTime,
    /// The log and the journal.
    pub sinks: Sinks,
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
            (&Method::POST, "/reload") => json(StatusCode::OK, &Reload::from(self.settings.reload().await)),
            (&Method::POST, path) => match request_to_cancel(path) {
                Some(id) => json(StatusCode::OK, &Cancelled { cancelled: self.cancel(id, "this machine") }),
                None => unknown(),
            },
            _ => unknown(),
        }
    }

    /// What the tailnet said last.
    pub(crate) fn members(&self) -> MembersByPort {
        MembersByPort(
            self.members.iter().map(|(port, roster)| (*port, Arc::clone(&roster.borrow()))).collect(),
        )
    }

    fn who(&self) -> Who {
        let (members, config) = (self.members(), self.settings.config());
        let node = self.node.borrow().clone(); // borrowed for the verdicts below, too
        // At each address: a tailnet may have IPv4 or IPv6 alone, and a policy may name either.
        let open = |ips: &[IpAddr], port| {
            let strangers =
                |ip: &IpAddr| self.proxy.admits_strangers((*ip, port).into(), members.at(Some(port)));
            ips.iter().any(strangers)
        };
        let own = &node.addresses;
        let service = node.service.as_ref().map_or(&[][..], |service| &service.addresses);
        let mut ports = config.ports().chain(config.metrics_port).chain(config.page_port);
        let anybody = ports.any(|port| open(own, port)) || open(service, config.port);
        let who = Who::new(&config, &members, &self.proxy.live().sessions(), node.has_joined(), anybody);
        Who { out_of_tailnet: node.out_of_tailnet().map(str::to_owned), ..who }
    }

    async fn status(&self) -> Status {
        let config = self.settings.config();
        let ollama = Ollama::ask(&config.upstream).await;
        let members = self.members();
        let parts = Parts {
            config: &config,
            proxy: &self.proxy,
            roster: members.at(config.ports().next()),
            node: self.node.borrow().clone(),
            started: self.started,
            stopping: self.proxy.is_stopping(),
            logs: self.sinks.states().into(),
        };
        Status::new(parts, ollama)
    }

    async fn not_ready(&self) -> Option<NotReady> {
        let config = self.settings.config();
        let fault = Ollama::answers(&config.upstream).await.err();
        let only_https = config.plain_http != PlainHttp::Serve;
        not_ready(self.proxy.is_stopping(), only_https, &self.node.borrow(), fault.as_deref())
    }

    /// Cancels a request on the word of `by`; false if there is no such request.
    pub(crate) fn cancel(&self, id: &str, by: &str) -> bool {
        self.proxy.live().cancel(id, by)
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
            logs: &self.sinks.states(),
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
