//! The decision about one request.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CONNECTION, HOST, HeaderName, ORIGIN, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

use super::endpoint::{Endpoint, EndpointSet, Management, allow};
use super::grant::Grant;
use super::hint::Hint;
use super::host::Hosts;
use super::models::{ModelCheck, ModelRefusal, ModelRules};
use super::rights::Rights;
use super::target::{Target, TargetFault};

/// What may be asked of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The endpoints that are on.
    pub endpoints: EndpointSet,
    /// Whether a browser's preflight for an allowed request goes through.
    pub preflight: bool,
    /// The names that clients may use for this node.
    pub hosts: Hosts,
    /// The models that may be asked for, whoever asks.
    pub models: ModelRules,
}

/// Leave to forward one request. Only [`Policy::decide`] makes it, so a request that nobody
/// checked can't be forwarded.
#[derive(Debug)]
pub struct Permit {
    endpoint: Endpoint,
    method: Method,
    target: PathAndQuery,
    grant: Grant,
    model: Option<ModelCheck>,
}

impl Permit {
    /// The endpoint that was asked for.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The method to use upstream.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The origin-form target to use upstream.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// Whether the request makes Ollama compute, so that only so many can run at once.
    pub fn computes(&self) -> bool {
        self.endpoint.computes() && self.method == Method::POST
    }

    /// Whether a browser asks by it if a request may follow. No model runs for it.
    pub fn is_preflight(&self) -> bool {
        self.method == Method::OPTIONS
    }

    /// What the peer is granted, with its limits.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// What is still to be found out about the model before the request may go on; `None`: nothing, and
    /// nobody looks at its body.
    pub fn model(&self) -> Option<&ModelCheck> {
        self.model.as_ref()
    }
}

/// Why a request is not forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The target has a spelling that could mean something else.
    #[error("{0}; write it plainly")]
    Target(TargetFault),
    /// The target has slashes that make another path of a known one.
    #[error("{fault}; {0}", fault = TargetFault::Segment)]
    Slashes(Hint),
    /// The path is in no table; and the one in it that was meant, if that can be told.
    #[error("this path is not on the allowlist{}", .0.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    NotListed(Option<Hint>),
    /// The endpoint is known but off.
    #[error("this endpoint is switched off here; the node's owner can set endpoints.{} = true", .0.name())]
    Off(Endpoint),
    /// The route manages models or the machine.
    #[error("managing models is never allowed from afar, as it {}; do it on the machine itself", .0.harm)]
    Management(&'static Management),
    /// The peer's grants do not have the endpoint.
    #[error("the tailnet policy does not grant you this endpoint ({}); ask whoever keeps the policy file", .0.name())]
    NotGranted(Endpoint),
    /// The peer's grants do not have the metrics.
    #[error(
        "the tailnet policy does not grant you the metrics (metrics: true under this node's capability); ask whoever keeps the policy file"
    )]
    MetricsNotGranted,
    /// The peer's grants do not have the page.
    #[error(
        "the tailnet policy does not grant you this page (page: \"view\" or \"admin\" under this node's capability); ask whoever keeps the policy file"
    )]
    PageNotGranted,
    /// The peer's grants let it see the page, and do nothing there.
    #[error(
        "the tailnet policy lets you see this page and no more (cancelling needs page: \"admin\" under this node's capability)"
    )]
    PageViewOnly,
    /// The port for the page has no such path.
    #[error("this port has the page and nothing else; Ollama is at the node's other port")]
    NotPage,
    /// At the page's port, and not by the page itself.
    #[error(
        "this is for the page itself to ask: the request comes from elsewhere, or does not say where from"
    )]
    CrossSite,
    /// The identity has the page open often enough.
    #[error("you have this page open {0} times already; close one of them")]
    Watching(usize),
    /// The port for metrics has no such path.
    #[error("this port has {METRICS} and nothing else; Ollama is at the node's other port")]
    NotMetrics,
    /// The path is allowed, the method is not. These are.
    #[error("this path does not take that method; it takes {}", allow(.0))]
    Method(&'static [Method]),
    /// A WebSocket is to be opened at an endpoint that is there by requests only.
    #[error("Ollama has no WebSocket; ask by POST, as clients do that fall back to HTTP")]
    WebSocket,
    /// A preflight, and they are switched off.
    #[error("browsers' preflight requests are switched off here (http.preflight)")]
    Preflight,
    /// Host is missing, repeated or names somebody else.
    #[error(
        "the Host header does not name this node; use its tailnet name or address, or have its owner add the name to http.hosts"
    )]
    Host,
    /// The model is not to be used, or can't be told.
    #[error("{0}")]
    Model(ModelRefusal),
}

impl Refusal {
    /// The rule's name, the same in logs and in answers.
    pub fn rule(&self) -> &'static str {
        match self {
            Refusal::Target(_) | Refusal::Slashes(_) => "target",
            Refusal::NotListed(_) => "allowlist",
            Refusal::Off(_) => "endpoint-off",
            Refusal::Management(_) => "management",
            Refusal::NotGranted(_)
            | Refusal::MetricsNotGranted
            | Refusal::PageNotGranted
            | Refusal::PageViewOnly => "grant",
            Refusal::NotMetrics => "metrics-only",
            Refusal::NotPage => "page-only",
            Refusal::CrossSite => "cross-site",
            Refusal::Watching(_) => "page-open",
            Refusal::Method(_) => "method",
            Refusal::WebSocket => "websocket",
            Refusal::Preflight => "preflight-off",
            Refusal::Host => "host",
            Refusal::Model(_) => "model",
        }
    }

    /// The methods that the path takes, as an Allow header lists them; empty unless it is for them.
    pub fn allow(&self) -> String {
        if let Refusal::Method(methods) = self { allow(methods) } else { String::new() }
    }
}

/// The path of the metrics, at the port for them.
const METRICS: &str = "/metrics";

impl Policy {
    /// Decides whether a peer with these rights may make the request that begins with `head`.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn decide(&self, rights: &Rights, head: &Parts) -> Result<Permit, Refusal> {
        let (target, path) = self.target(head)?;
        let endpoint = match Endpoint::at(path) {
            Some(endpoint) if self.endpoints.contains(endpoint) => endpoint,
            Some(endpoint) => return Err(Refusal::Off(endpoint)),
            None => {
                let not_listed = || Refusal::NotListed(Hint::of(path));
                return Err(Management::at(path).map_or_else(not_listed, Refusal::Management));
            }
        };
        let grant = match &rights.grant {
            Some(grant) if grant.endpoints.contains(endpoint) => grant,
            _ => return Err(Refusal::NotGranted(endpoint)),
        };
        // A preflight asks on behalf of the request that would follow.
        match preflight_method(head) {
            Some(wanted) if endpoint.methods().contains(&wanted) => {
                if !self.preflight {
                    return Err(Refusal::Preflight);
                }
            }
            None if endpoint.methods().contains(&head.method) => {}
            None if endpoint.is_tried_by_websocket() && opens_websocket(head) => {
                return Err(Refusal::WebSocket);
            }
            _ => return Err(Refusal::Method(endpoint.methods())),
        }
        // Nobody names a model by a preflight.
        let model = match head.method {
            Method::OPTIONS => None,
            _ => self.models.check(grant, endpoint, path, &head.headers).map_err(Refusal::Model)?,
        };
        let (method, target, grant) = (head.method.clone(), target.clone(), grant.clone());
        Ok(Permit { endpoint, method, target, grant, model })
    }

    /// Decides whether a peer with these rights may have the metrics, at the port for them, by the
    /// request that begins with `head`. Who may not is told nothing of what is there.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn decide_metrics(&self, rights: &Rights, head: &Parts) -> Result<(), Refusal> {
        let granted = rights.metrics().then_some(()).ok_or(Refusal::MetricsNotGranted);
        self.beside(head, granted, Refusal::NotMetrics, |path| {
            (path == METRICS).then_some(((), &[Method::GET]))
        })?;
        Ok(())
    }

    /// Decides what a port beside the proxy's answers to the request that begins with `head`, of what
    /// `routes` says is there, each with its methods. Who is not `granted` it is told nothing of that.
    pub(super) fn beside<'a, G, R>(
        &self,
        head: &'a Parts,
        granted: Result<G, Refusal>,
        nothing: Refusal,
        routes: impl FnOnce(&'a str) -> Option<(R, &'static [Method])>,
    ) -> Result<(G, R), Refusal> {
        let (_, path) = self.target(head)?;
        let granted = granted?;
        let (route, methods) = routes(path).ok_or(nothing)?;
        if !methods.contains(&head.method) {
            return Err(Refusal::Method(methods));
        }
        Ok((granted, route))
    }

    /// The target and its path, of a request for this node that means what it says.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn target<'a>(&self, head: &'a Parts) -> Result<(&'a PathAndQuery, &'a str), Refusal> {
        self.check_host(&head.headers)?;
        if head.uri.scheme().is_some() || head.uri.authority().is_some() {
            return Err(Refusal::Target(TargetFault::NotAPath));
        }
        let target = head.uri.path_and_query().ok_or(Refusal::Target(TargetFault::NotAPath))?;
        let parsed = Target::parse(target.as_str()).map_err(|fault| match Hint::of(target.path()) {
            Some(hint) if fault == TargetFault::Segment => Refusal::Slashes(hint),
            _ => Refusal::Target(fault),
        })?;
        Ok((target, parsed.path))
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut values = headers.get_all(HOST).iter();
        match (values.next(), values.next()) {
            (Some(host), None) if self.hosts.contains(host.as_bytes()) => Ok(()),
            _ => Err(Refusal::Host),
        }
    }
}

/// The method that a preflight (Fetch standard, "CORS-preflight request") asks about.
fn preflight_method(head: &Parts) -> Option<Method> {
    if head.method != Method::OPTIONS || !head.headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// Whether a request asks for a WebSocket (RFC 6455, 4.1).
fn opens_websocket(head: &Parts) -> bool {
    let names = |header: HeaderName, token: &str| {
        let values = head.headers.get_all(header);
        let mut tokens = values.iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
        tokens.any(|t| t.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    head.method == Method::GET && names(CONNECTION, "upgrade") && names(UPGRADE, "websocket")
}
