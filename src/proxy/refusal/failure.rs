//! Why a request gets no answer from Ollama. One function maps each failure to its status.

use http::StatusCode;

use crate::admission::Busy;
use crate::audit::Ended;
use crate::policy::{Dialect, FramingFault, ModelRefusal, QuotaUnit, Refusal, Rule};
use crate::proxy::sessions::stream::state::StreamFault;
use crate::proxy::sessions::timeouts::TimeoutKind;

/// Why a request gets no answer from Ollama. The text is for the log; what the client reads is [`Failure::reason`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A rule of the policy.
    #[error("{0}")]
    Refused(Refusal),
    /// The request is ambiguous or malformed.
    #[error("{0}")]
    Framing(FramingFault),
    /// A limit of the identity, or a full queue.
    #[error("{0}")]
    Busy(Busy),
    /// The proxy is stopping.
    #[error("the proxy is stopping")]
    Stopping,
    /// The client does not go on with its request.
    #[error("{0}")]
    Slow(TimeoutKind),
    /// The body is larger than this many bytes, its limit.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// The proxy can't connect to Ollama.
    #[error("Ollama can't be reached at {upstream}: {reason}")]
    Down { upstream: String, reason: std::io::Error },
    /// Ollama broke off, or sent something else than HTTP, before the head of its answer was complete.
    #[error("Ollama broke off: {0}")]
    BrokenOff(hyper::Error),
    /// Ollama answered 101.
    #[error("Ollama asked to switch protocols")]
    Switching,
    /// The answer has a transfer coding other than `chunked`.
    #[error("Ollama's answer has a transfer coding other than a single \"chunked\"")]
    Coded,
    /// The length of an answer without a body can be read in several ways, or in none.
    #[error("Ollama's answer has a Content-Length that is not one number")]
    Length,
    /// Local models alone are allowed, and Ollama does not say where this one runs.
    #[error("Ollama did not say whether a model is on this machine: {0}")]
    UnknownLocation(String),
    /// The client has to use HTTPS, at this address.
    #[error("the client has to use HTTPS")]
    Https(String),
    /// The client has to use HTTPS, and the node has no certificate yet.
    #[error("there is no certificate for HTTPS yet")]
    NoCertificate,
    /// The client has left.
    #[error("the client left")]
    Left,
}

impl From<StreamFault> for Failure {
    fn from(fault: StreamFault) -> Self {
        match fault {
            StreamFault::Left => Failure::Left,
            StreamFault::Framing(fault) => Failure::Framing(fault),
            StreamFault::Slow(kind) => Failure::Slow(kind),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl Failure {
    /// The status of the answer to a request for `path`.
    pub(crate) fn status(&self, path: &str) -> StatusCode {
        match self {
            Failure::Refused(refusal) => refusal_status(refusal, Dialect::of(path)),
            Failure::Busy(Busy::Concurrent(_) | Busy::Rate { .. } | Busy::Quota { .. }) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Failure::Busy(Busy::Full(_) | Busy::Waited(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Failure::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Failure::Framing(FramingFault::TargetTooLong) => StatusCode::URI_TOO_LONG,
            Failure::Framing(FramingFault::TooLong) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Failure::Framing(_) | Failure::Left => StatusCode::BAD_REQUEST,
            Failure::Https(_) => StatusCode::PERMANENT_REDIRECT,
            Failure::Down { .. } | Failure::Stopping | Failure::NoCertificate => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Failure::BrokenOff(_)
            | Failure::Switching
            | Failure::Coded
            | Failure::Length
            | Failure::UnknownLocation(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The rule or fault.
    pub(crate) fn rule(&self) -> Rule {
        match self {
            Failure::Refused(refusal) => refusal.rule(),
            Failure::Framing(_) => Rule::Framing,
            Failure::Busy(Busy::Concurrent(_)) => Rule::Concurrency,
            Failure::Busy(Busy::Rate { .. }) => Rule::Rate,
            Failure::Busy(Busy::Quota { state, .. }) => match state.quota.unit {
                QuotaUnit::Requests => Rule::Requests,
                QuotaUnit::Tokens => Rule::Tokens,
            },
            Failure::Busy(Busy::Full(_)) => Rule::QueueFull,
            Failure::Busy(Busy::Waited(_)) => Rule::QueueTime,
            Failure::TooLarge(_) => Rule::BodySize,
            Failure::Stopping => Rule::Stopping,
            Failure::Slow(kind) => kind.rule(),
            Failure::Down { .. } => Rule::UpstreamDown,
            Failure::BrokenOff(_)
            | Failure::Switching
            | Failure::Coded
            | Failure::Length
            | Failure::UnknownLocation(_) => Rule::UpstreamFailed,
            Failure::Https(_) => Rule::Https,
            Failure::NoCertificate => Rule::Certificate,
            Failure::Left => Rule::ClientLeft,
        }
    }

    /// How the request ended.
    pub(crate) fn ended(&self) -> Ended {
        match self {
            Failure::Left => Ended::ClientLeft,
            Failure::Slow(_) => Ended::TimedOut,
            Failure::Down { .. }
            | Failure::BrokenOff(_)
            | Failure::Switching
            | Failure::Coded
            | Failure::Length
            | Failure::UnknownLocation(_) => Ended::UpstreamFailed,
            Failure::Refused(_)
            | Failure::Framing(_)
            | Failure::Busy(_)
            | Failure::Stopping
            | Failure::TooLarge(_)
            | Failure::Https(_)
            | Failure::NoCertificate => Ended::Refused,
        }
    }

    /// The reason that the client reads. It names no detail of this machine.
    pub(crate) fn reason(&self) -> String {
        match self {
            Failure::Refused(refusal) => refusal.to_string(),
            Failure::Framing(fault) => fault.to_string(),
            Failure::Busy(busy) => busy.to_string(),
            Failure::Slow(kind) => kind.to_string(),
            Failure::Stopping => "this proxy is being stopped; try again soon".to_owned(),
            Failure::TooLarge(max) => format!("the body is larger than your limit of {max} bytes"),
            Failure::Down { .. } => "Ollama does not answer behind this proxy; try again soon".to_owned(),
            Failure::BrokenOff(_) | Failure::Switching | Failure::Coded | Failure::Length => {
                "Ollama broke off before it answered; the request was not repeated".to_owned()
            }
            Failure::UnknownLocation(_) => {
                "Ollama did not say whether the model is on this machine, so the request was not sent"
                    .to_owned()
            }
            Failure::Https(_) => "this node takes HTTPS only; the header Location has the address".to_owned(),
            Failure::NoCertificate => {
                "this node takes HTTPS only, and has no certificate yet; the operator's log says why"
                    .to_owned()
            }
            Failure::Left => "the client left".to_owned(),
        }
    }

    /// The name of the model that was refused, if it is short and plain enough for the log.
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Failure::Refused(Refusal::Model(refusal)) => refusal.name(),
            _ => None,
        }
    }
}

fn refusal_status(refusal: &Refusal, dialect: Dialect) -> StatusCode {
    match refusal {
        Refusal::Model(refusal) => model_status(refusal, dialect),
        Refusal::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::WebSocket => StatusCode::UPGRADE_REQUIRED,
        Refusal::Host => StatusCode::MISDIRECTED_REQUEST,
        Refusal::NotMetrics | Refusal::NotPage => StatusCode::NOT_FOUND,
        Refusal::Watching(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Target(_)
        | Refusal::Slashes(_)
        | Refusal::NotListed(_)
        | Refusal::Off(_)
        | Refusal::Management(_)
        | Refusal::NotGranted(_)
        | Refusal::MetricsNotGranted
        | Refusal::PageNotGranted
        | Refusal::PageViewOnly
        | Refusal::CrossSite
        | Refusal::Preflight => StatusCode::FORBIDDEN,
    }
}

/// The status of a refusal by a rule about models. OpenAI and Anthropic answer 404 for a model that the caller may not
/// use, and their clients take 403 for a problem with the login. Ollama's command line takes 404 for a model that it has
/// to pull, and then shows only why it can't.
fn model_status(refusal: &ModelRefusal, dialect: Dialect) -> StatusCode {
    match (dialect, refusal) {
        (Dialect::Ollama, _) => StatusCode::FORBIDDEN,
        (_, ModelRefusal::Body(_) | ModelRefusal::Setting(_)) => StatusCode::BAD_REQUEST,
        (
            Dialect::OpenAi | Dialect::Anthropic,
            ModelRefusal::Name(..)
            | ModelRefusal::NotAllowed(_)
            | ModelRefusal::NotGranted(_)
            | ModelRefusal::Cloud(_)
            | ModelRefusal::NotHere(_),
        ) => StatusCode::NOT_FOUND,
    }
}
