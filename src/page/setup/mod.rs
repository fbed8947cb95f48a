//! The set-up: how a peer that may ask Ollama here sets up its client.

mod clients;
mod guide;
mod html;
mod models;
mod text;

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::HOST;
use http::request::Parts;

use super::files;
use crate::admin::Admin;
use crate::config::{Config, PlainHttp};
use crate::policy::{Policy, Rights, decoded_name};
use crate::proxy::{Caller, Content};
use guide::{Facts, Guide};
use models::{ListedModel, ModelList};

/// Answers requests for the set-up.
pub(super) struct Setup {
    admin: Arc<Admin>,
    models: ModelList,
}

impl Setup {
    pub(super) fn new(admin: Arc<Admin>) -> Self {
        Setup { admin, models: ModelList::default() }
    }

    /// Whether the set-up is on, and the peer may connect to an Ollama port.
    pub(super) fn is_offered_to(&self, caller: &Caller) -> bool {
        let config = self.admin.settings.config();
        config.page_setup && config.ports().any(|port| caller.may_connect(port))
    }

    /// The models that Ollama lists now; `None`: it does not answer.
    pub(super) async fn models(&self) -> Option<Arc<[ListedModel]>> {
        let config = self.admin.settings.config();
        self.models.get(&config.upstream).await
    }

    /// The set-up of a peer with `rights`, for the request that begins with `head`: as HTML or as text.
    pub(super) fn answer(
        &self,
        policy: &Policy,
        rights: &Rights,
        caller: &Caller,
        head: &Parts,
        models: Option<Arc<[ListedModel]>>,
        as_html: bool,
    ) -> Response<Content> {
        let dns_name = self.admin.node.borrow().dns_name.trim_end_matches('.').to_owned();
        let config = self.admin.settings.config();
        let node = if dns_name.is_empty() { config.node.hostname.clone() } else { dns_name };
        let urls = urls(&config, &node, host(head).unwrap_or(&node), caller);
        let queries = head.uri.query().unwrap_or_default().split('&');
        let wanted = queries.into_iter().find_map(|query| query.strip_prefix("model=")).map(decoded_name);
        let facts = Facts { node, urls, installed: models.as_deref(), wanted: wanted.as_deref() };
        let guide = Guide::new(policy, rights, facts);
        let (kind, text) = if as_html {
            (files::HTML, html::html(&guide))
        } else {
            ("text/plain; charset=utf-8", text::text(&guide))
        };
        files::answer(kind, Content::Whole(Bytes::from(text)))
    }
}

/// The addresses of Ollama. Over HTTP, the node has the name by which the peer has reached this page, since that one works
/// for it. Over HTTPS, it has the name of its certificate. Only at ports that the peer may connect to.
fn urls(config: &Config, node: &str, host: &str, caller: &Caller) -> Vec<String> {
    let http = config.plain_http == PlainHttp::Serve && caller.may_connect(config.port);
    let https = config.https_port.is_some_and(|port| caller.may_connect(port));
    let http = http.then(|| config.url(host));
    http.into_iter().chain(config.https_url(node).filter(|_| https)).collect()
}

/// The name in the Host header, which the policy has checked.
fn host(head: &Parts) -> Option<&str> {
    let value = head.headers.get(HOST)?.to_str().ok()?;
    let host = value.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    Some(host.map_or(value, |(host, _)| host).trim_end_matches('.'))
}
