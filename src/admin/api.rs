//! The requests that the admin socket answers.

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

use super::members::MembersByPort;
use super::ready::{NotReady, Readiness};
use super::reload::Reload;
use super::requests::{CancelAnswer, Requests};
use super::status::{Status, StatusParts};
use super::who::Who;
use crate::audit::{Metrics, Now};
use crate::awake::AwakeState;
use crate::ollama::{OllamaClient, OllamaStatus};
use crate::panics;
use crate::preload::PreloadedModel;
use crate::proxy::{Load, Proxy};
use crate::settings::Settings;
use crate::sink::Sinks;
use crate::tailnet::{Member, NodeStatus};

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// The parts of the running proxy that the answers are made of.
pub struct Admin {
    /// The config in force.
    pub settings: Arc<Settings>,
    /// The proxy.
    pub proxy: Proxy,
    /// The latest list of peers, for each port.
    pub members: BTreeMap<u16, watch::Receiver<Arc<Vec<Member>>>>,
    /// The status of the node.
    pub node: watch::Receiver<NodeStatus>,
    /// The models of `models.preload`.
    pub preload: watch::Receiver<Vec<PreloadedModel>>,
    /// Whether the machine is kept awake.
    pub awake: watch::Receiver<AwakeState>,
    /// When the proxy started.
    pub started: SystemTime,
    /// The diagnostics, the access log and the journal.
    pub sinks: Sinks,
}

type Answer = Response<Full<Bytes>>;

impl Admin {
    pub(super) async fn answer(self: &Arc<Self>, method: &Method, path: &str) -> Answer {
        match (method, path) {
            (&Method::GET, "/who") => self.off_thread(|admin| json(StatusCode::OK, &admin.who())).await,
            (&Method::GET, "/status") => {
                let ollama = OllamaStatus::ask(&self.settings.config().upstream).await;
                self.off_thread(|admin| json(StatusCode::OK, &admin.status(ollama))).await
            }
            (&Method::GET, "/requests") => json(StatusCode::OK, &Requests::new(&self.proxy.sessions().all())),
            (&Method::GET, "/healthz") => ok(PLAIN_TEXT, "ok\n".to_owned()),
            (&Method::GET, "/readyz") => match self.not_ready().await {
                Some(reason) => json(StatusCode::SERVICE_UNAVAILABLE, &reason),
                None => ok(PLAIN_TEXT, "ok\n".to_owned()),
            },
            (&Method::GET, "/metrics") => ok(Metrics::CONTENT_TYPE, self.metrics().await),
            (&Method::POST, "/reload") => json(StatusCode::OK, &Reload::from(self.settings.reload().await)),
            (&Method::POST, path) => match request_to_cancel(path) {
                Some(id) => {
                    json(StatusCode::OK, &CancelAnswer { cancelled: self.cancel(id, "this machine") })
                }
                None => not_found(),
            },
            _ => not_found(),
        }
    }

    /// Makes an answer about every peer, which takes long in a large tailnet.
    async fn off_thread(self: &Arc<Self>, make: impl FnOnce(&Self) -> Answer + Send + 'static) -> Answer {
        let admin = Arc::clone(self);
        panics::off_thread(move || make(&admin)).await
    }

    /// The latest lists of peers.
    pub(crate) fn members(&self) -> MembersByPort {
        let lists = self.members.iter().map(|(port, members)| (*port, Arc::clone(&members.borrow())));
        MembersByPort(lists.collect())
    }

    fn who(&self) -> Who {
        let (members, config) = (self.members(), self.settings.config());
        let node = self.node.borrow().clone();
        let sessions = self.proxy.sessions().all();
        let who = Who::new(&config, &members, &sessions, self.proxy.admission(), node.has_joined());
        Who {
            out_of_tailnet: node.out_of_tailnet().map(str::to_owned),
            open_to_unknown_devices: self.admits_unknown_devices(&members, &node),
            ..who
        }
    }

    /// Whether a device that is not in the netmap would be admitted at any port. Each own address is tried, since a
    /// tailnet may have IPv4 or IPv6 only, and a policy may name either.
    fn admits_unknown_devices(&self, members: &MembersByPort, node: &NodeStatus) -> bool {
        let config = self.settings.config();
        let admits = |ips: &[IpAddr], port| {
            let at = |ip: &IpAddr| self.proxy.admits_strangers((*ip, port).into(), members.at(Some(port)));
            ips.iter().any(at)
        };
        let service = node.service.as_ref().map_or(&[][..], |service| &service.addresses);
        let mut ports = config.ports().chain(config.metrics_port).chain(config.page_port);
        ports.any(|port| admits(&node.addresses, port)) || admits(service, config.port)
    }

    fn status(&self, ollama: OllamaStatus) -> Status {
        let config = self.settings.config();
        let members = self.members();
        let parts = StatusParts {
            config: &config,
            proxy: &self.proxy,
            members: members.at(config.ports().next()),
            node: self.node.borrow().clone(),
            started: self.started,
            preload: self.preloaded(&ollama),
            awake: self.awake.borrow().clone(),
            logs: self.sinks.states(),
        };
        Status::new(parts, ollama)
    }

    /// The models of `models.preload`. Ollama may have unloaded some since: `ollama` has those in memory now, unless it has a
    /// fault.
    pub(crate) fn preloaded(&self, ollama: &OllamaStatus) -> Vec<PreloadedModel> {
        let preload = self.preload.borrow().clone();
        if ollama.fault.is_some() {
            return preload;
        }
        preload.into_iter().map(|model| model.compared_with(&ollama.models)).collect()
    }

    async fn not_ready(&self) -> Option<NotReady> {
        let config = self.settings.config();
        let fault = OllamaClient::new(&config.upstream).version().await.err().map(|error| error.to_string());
        let readiness = Readiness {
            stopping: self.proxy.is_stopping(),
            plain_http: config.plain_http,
            node: &self.node.borrow(),
            ollama_fault: fault.as_deref(),
        };
        readiness.not_ready()
    }

    /// Cancels a request on behalf of `by`; false if there is no such request.
    pub(crate) fn cancel(&self, id: &str, by: &str) -> bool {
        self.proxy.sessions().cancel(id, by)
    }

    /// The metrics, in Prometheus' text format.
    pub async fn metrics(&self) -> String {
        let ollama_up = OllamaClient::new(&self.settings.config().upstream).version().await.is_ok();
        let Load { running, waiting } = self.proxy.load();
        self.proxy.audit().metrics().text(&Now {
            running,
            waiting,
            connections: self.proxy.sessions().all().len(),
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
        Ok(body) => answer(status, JSON, body),
        Err(error) => {
            tracing::error!(%error, "cannot write an answer of the admin socket as JSON");
            answer(StatusCode::INTERNAL_SERVER_ERROR, JSON, b"{}".to_vec())
        }
    }
}

fn ok(content_type: &'static str, body: String) -> Answer {
    answer(StatusCode::OK, content_type, body.into_bytes())
}

fn not_found() -> Answer {
    answer(StatusCode::NOT_FOUND, JSON, b"{}".to_vec())
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
