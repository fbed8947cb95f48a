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
use super::rule::Rule;
use super::target::{Target, TargetFault};

/// The node's own rules, for all peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The allowlist.
    pub endpoints: EndpointSet,
    /// Whether browsers' preflights for allowed requests are forwarded.
    pub preflight: bool,
    /// The names that clients may use for this node.
    pub hosts: Hosts,
    /// The models that all peers may use.
    pub models: ModelRules,
}

/// The permission to forward one request. Only [`Policy::decide`] creates it, so an unchecked request can't be forwarded.
#[derive(Debug)]
pub struct Permit {
    endpoint: Endpoint,
    method: Method,
    target: PathAndQuery,
    grant: Grant,
    model: Option<ModelCheck>,
}

impl Permit {
    /// The endpoint of the request.
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

    /// Whether the request makes Ollama compute, so that it needs a running slot.
    pub fn computes(&self) -> bool {
        self.endpoint.computes() && self.method == Method::POST
    }

    /// Whether it is a browser's preflight, for which no model runs.
    pub fn is_preflight(&self) -> bool {
        self.method == Method::OPTIONS
    }

    /// The peer's grant, with its limits.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// What to check about the model before the request is forwarded; `None`: nothing, and the proxy does not inspect the
    /// body.
    pub fn model(&self) -> Option<&ModelCheck> {
        self.model.as_ref()
    }
}

/// Why the policy refuses a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The target could be read as another one.
    #[error("{0}; use the plain spelling")]
    Target(TargetFault),
    /// The target is the path of an endpoint with extra slashes.
    #[error("{fault}; {0}", fault = TargetFault::Segment)]
    Slashes(Hint),
    /// The path belongs to no endpoint. The hint is the endpoint that the client may have meant.
    #[error("this path is not on the allowlist{}", .0.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    NotListed(Option<Hint>),
    /// The endpoint is off.
    #[error("this endpoint is off here; ask the operator to set endpoints.{} = true", .0.name())]
    Off(Endpoint),
    /// The route manages models or the machine.
    #[error("this route is never forwarded, as it {}; use it on the machine itself", .0.harm)]
    Management(&'static Management),
    /// The peer's grants do not include the endpoint.
    #[error("the tailnet policy does not grant you this endpoint ({}); ask an admin of the tailnet to add it to your grant", .0.name())]
    NotGranted(Endpoint),
    /// The peer's grants do not include the metrics.
    #[error(
        "the tailnet policy does not grant you the metrics; ask an admin of the tailnet to add \"metrics\": true to your grant"
    )]
    MetricsNotGranted,
    /// The peer's grants do not include the page.
    #[error(
        "the tailnet policy does not grant you this page; ask an admin of the tailnet to add \"page\": \"view\" or \"admin\" to your grant"
    )]
    PageNotGranted,
    /// The peer's grants allow it to see the page, not to cancel requests there.
    #[error(
        "the tailnet policy lets you see this page, not cancel requests; ask an admin of the tailnet to add \"page\": \"admin\" to your grant"
    )]
    PageViewOnly,
    /// The page's port has no such path.
    #[error("this port serves only the page; Ollama is on the node's other port")]
    NotPage,
    /// A request to the page's port that the page itself did not make.
    #[error(
        "only the page itself may request this, and the request comes from another site or does not say where from; open the page in a browser"
    )]
    CrossSite,
    /// The identity has the page open this many times.
    #[error("you have this page open {0} times; close one of them")]
    Watching(usize),
    /// The metrics port has no such path.
    #[error("this port serves only {METRICS}; Ollama is on the node's other port")]
    NotMetrics,
    /// The path is allowed, the method is not. These methods are.
    #[error("this path does not allow that method; use {}", allow(.0))]
    Method(&'static [Method]),
    /// The client tries to open a WebSocket.
    #[error("Ollama has no WebSocket; use POST over HTTP")]
    WebSocket,
    /// A preflight, and preflights are off.
    #[error("browsers' preflight requests are off here; ask the operator to set http.preflight = true")]
    Preflight,
    /// Host is missing, repeated or not a name of this node.
    #[error(
        "the Host header does not name this node; use its tailnet name or address, or ask the operator to add the name to http.hosts"
    )]
    Host,
    /// The model is not allowed, or the request does not name one certain model.
    #[error("{0}")]
    Model(ModelRefusal),
}

impl Refusal {
    /// The rule.
    pub fn rule(&self) -> Rule {
        match self {
            Refusal::Target(_) | Refusal::Slashes(_) => Rule::Target,
            Refusal::NotListed(_) => Rule::Allowlist,
            Refusal::Off(_) => Rule::EndpointOff,
            Refusal::Management(_) => Rule::Management,
            Refusal::NotGranted(_)
            | Refusal::MetricsNotGranted
            | Refusal::PageNotGranted
            | Refusal::PageViewOnly => Rule::Grant,
            Refusal::NotMetrics => Rule::MetricsOnly,
            Refusal::NotPage => Rule::PageOnly,
            Refusal::CrossSite => Rule::CrossSite,
            Refusal::Watching(_) => Rule::PageOpen,
            Refusal::Method(_) => Rule::Method,
            Refusal::WebSocket => Rule::WebSocket,
            Refusal::Preflight => Rule::PreflightOff,
            Refusal::Host => Rule::Host,
            Refusal::Model(refusal) => refusal.rule(),
        }
    }

    /// The methods that the path allows, as an Allow header lists them; empty unless the method is refused.
    pub fn allow(&self) -> String {
        if let Refusal::Method(methods) = self { allow(methods) } else { String::new() }
    }
}

/// The path of the metrics, at the metrics port.
const METRICS: &str = "/metrics";

impl Policy {
    /// Decides about a request at the Ollama port, by its head and the peer's rights.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn decide(&self, rights: &Rights, head: &Parts) -> Result<Permit, Refusal> {
        let (target, path) = self.target(head)?;
        let endpoint = self.endpoint(path)?;
        let grant = match &rights.grant {
            Some(grant) if grant.endpoints.contains(endpoint) => grant,
            _ => return Err(Refusal::NotGranted(endpoint)),
        };
        self.check_method(endpoint, head)?;
        // A preflight names no model.
        let model = match head.method {
            Method::OPTIONS => None,
            _ => self.models.check(grant, endpoint, path, &head.headers).map_err(Refusal::Model)?,
        };
        let (method, target, grant) = (head.method.clone(), target.clone(), grant.clone());
        Ok(Permit { endpoint, method, target, grant, model })
    }

    /// The endpoints that a peer may use: they are on, and its grants include them.
    pub fn usable(&self, rights: &Rights) -> EndpointSet {
        let granted = rights.grant.as_ref().map_or(EndpointSet::EMPTY, |grant| grant.endpoints);
        self.endpoints.intersection(granted)
    }

    fn endpoint(&self, path: &str) -> Result<Endpoint, Refusal> {
        match Endpoint::at(path) {
            Some(endpoint) if self.endpoints.contains(endpoint) => Ok(endpoint),
            Some(endpoint) => Err(Refusal::Off(endpoint)),
            None => match Management::at(path) {
                Some(route) => Err(Refusal::Management(route)),
                None => Err(Refusal::NotListed(Hint::of(path))),
            },
        }
    }

    /// Checks the method, or that of the request that a preflight is about.
    fn check_method(&self, endpoint: Endpoint, head: &Parts) -> Result<(), Refusal> {
        let allows = |method: &Method| endpoint.methods().contains(method);
        match preflight_method(head) {
            Some(wanted) if !allows(&wanted) => Err(Refusal::Method(endpoint.methods())),
            Some(_) if !self.preflight => Err(Refusal::Preflight),
            Some(_) => Ok(()),
            None if allows(&head.method) => Ok(()),
            None if endpoint.is_tried_by_websocket() && opens_websocket(head) => Err(Refusal::WebSocket),
            None => Err(Refusal::Method(endpoint.methods())),
        }
    }

    /// Decides about a request at the metrics port. A peer without a right to the metrics gets the same refusal on every
    /// path.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn decide_metrics(&self, rights: &Rights, head: &Parts) -> Result<(), Refusal> {
        let granted = rights.metrics().then_some(()).ok_or(Refusal::MetricsNotGranted);
        self.decide_auxiliary(head, granted, Refusal::NotMetrics, |path| {
            (path == METRICS).then_some(((), &[Method::GET]))
        })?;
        Ok(())
    }

    /// Decides about a request at an auxiliary port. `routes` has the port's paths, each with its methods, and `nothing` is
    /// the refusal of other paths. A peer without the right (`granted`) learns of no path.
    pub(super) fn decide_auxiliary<'a, G, R>(
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

    /// The target and its path, if the request is for this node and its target has only one reading.
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
