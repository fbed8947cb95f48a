//! Answers of the proxy's own, in the error dialect of the API that was called.
//!
//! One function maps each failure to its status. What the client reads names the rule and the way
//! out; what is particular to this machine goes to the log only.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER, UPGRADE};
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;

use super::pace::Awaited;
use crate::admission::Busy;
use crate::audit::Ended;
use crate::policy::{Dialect, FramingFault, ModelRefusal, Refusal};

/// Why a request got no answer from Ollama.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Refused(Refusal),
    #[error("{0}")]
    Framing(FramingFault),
    /// The identity has as many requests as it may.
    #[error("{0}")]
    Busy(Busy),
    /// The proxy has been told to stop.
    #[error("the proxy is stopping")]
    Stopping,
    /// The client does not go on with its request.
    #[error("{0}")]
    Slow(Awaited),
    /// The body is larger than it may be.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// Nothing listens at the upstream.
    #[error("Ollama can't be reached at {upstream}: {reason}")]
    Down { upstream: String, reason: std::io::Error },
    /// The upstream broke off, or its answer was no HTTP, before its head was whole.
    #[error("Ollama broke off: {0}")]
    BrokenOff(hyper::Error),
    /// The upstream wants to leave HTTP.
    #[error("Ollama asked to switch protocols")]
    Switching,
    /// The answer has a coding that only this hop would see.
    #[error("Ollama's answer has a transfer coding other than one chunked")]
    Coded,
    /// The length of an answer without a body can be read in several ways, or in none.
    #[error("Ollama's answer has a Content-Length that is not one number")]
    Length,
    /// The rules want to know whether the model is on this machine, and Ollama does not tell.
    #[error("Ollama did not tell whether a model is on this machine: {0}")]
    Untold(String),
    /// It is to be asked for by HTTPS, at this address.
    #[error("it is to be asked for by HTTPS")]
    Https(String),
    /// The same, but there is no certificate yet.
    #[error("there is no certificate for HTTPS yet")]
    NoCertificate,
    /// Nobody is there to read an answer.
    #[error("the client left")]
    Left,
}

impl Failure {
    /// The status of the answer to a request for `path`.
    pub(super) fn status(&self, path: &str) -> StatusCode {
        match self {
            Failure::Refused(Refusal::Model(refusal)) => model_status(refusal, Dialect::of(path)),
            Failure::Refused(Refusal::Method(_)) => StatusCode::METHOD_NOT_ALLOWED,
            Failure::Refused(Refusal::WebSocket) => StatusCode::UPGRADE_REQUIRED,
            Failure::Refused(Refusal::Host) => StatusCode::MISDIRECTED_REQUEST,
            Failure::Refused(Refusal::NotMetrics | Refusal::NotPage) => StatusCode::NOT_FOUND,
            Failure::Refused(Refusal::Watching(_)) => StatusCode::TOO_MANY_REQUESTS,
            Failure::Refused(_) => StatusCode::FORBIDDEN,
            Failure::Busy(Busy::Concurrent(_) | Busy::Rate { .. } | Busy::Tokens { .. }) => {
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
            | Failure::Untold(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The name of the rule or fault, the same in logs and in answers.
    pub(super) fn rule(&self) -> &'static str {
        match self {
            Failure::Refused(refusal) => refusal.rule(),
            Failure::Framing(_) => "framing",
            Failure::Busy(Busy::Concurrent(_)) => "concurrency",
            Failure::Busy(Busy::Rate { .. }) => "rate",
            Failure::Busy(Busy::Tokens { .. }) => "tokens",
            Failure::Busy(Busy::Full(_)) => "queue-full",
            Failure::Busy(Busy::Waited(_)) => "queue-time",
            Failure::TooLarge(_) => "body-size",
            Failure::Stopping => "stopping",
            Failure::Slow(awaited) => awaited.rule(),
            Failure::Down { .. } => "upstream-down",
            Failure::BrokenOff(_) | Failure::Switching | Failure::Coded | Failure::Length => {
                "upstream-failed"
            }
            Failure::Untold(_) => "upstream-failed",
            Failure::Https(_) => "https",
            Failure::NoCertificate => "certificate",
            Failure::Left => "client-left",
        }
    }

    /// How the request ended.
    pub(super) fn ended(&self) -> Ended {
        match self {
            Failure::Left => Ended::ClientLeft,
            Failure::Slow(_) => Ended::TimedOut,
            Failure::Down { .. }
            | Failure::BrokenOff(_)
            | Failure::Switching
            | Failure::Coded
            | Failure::Length
            | Failure::Untold(_) => Ended::UpstreamFailed,
            _ => Ended::Refused,
        }
    }

    /// What the client reads after "remote-ollama-proxy: ".
    fn words(&self) -> String {
        match self {
            Failure::Refused(refusal) => refusal.to_string(),
            Failure::Framing(fault) => fault.to_string(),
            Failure::Busy(busy) => busy.to_string(),
            Failure::Slow(awaited) => awaited.to_string(),
            Failure::Stopping => "this proxy is being stopped; try again soon".to_owned(),
            Failure::TooLarge(max) => format!("bodies of at most {max} bytes are taken from you"),
            Failure::Down { .. } => "Ollama does not answer behind this proxy; try again soon".to_owned(),
            Failure::BrokenOff(_) | Failure::Switching | Failure::Coded | Failure::Length => {
                "Ollama broke off before it answered; the request was not repeated".to_owned()
            }
            Failure::Untold(_) => {
                "Ollama did not tell whether the model is on this machine, so it was not asked".to_owned()
            }
            Failure::Https(_) => "this node is asked by HTTPS; the header Location says where".to_owned(),
            Failure::NoCertificate => {
                "this node is asked by HTTPS, and has no certificate for it yet; its owner's log says why"
                    .to_owned()
            }
            Failure::Left => "the client left".to_owned(),
        }
    }

    /// The code that OpenAI's clients look at: theirs for a model that may not be used, else the rule's name.
    fn code(&self, status: StatusCode) -> &'static str {
        match self {
            Failure::Refused(Refusal::Model(_)) if status == StatusCode::NOT_FOUND => "model_not_found",
            _ => self.rule(),
        }
    }

    /// The model that was refused by its name, as far as it is worth logging.
    pub(super) fn model(&self) -> Option<&str> {
        match self {
            Failure::Refused(Refusal::Model(refusal)) => refusal.name(),
            _ => None,
        }
    }

    /// What the client reads.
    pub(super) fn message(&self, method: &Method, path: &str) -> String {
        let (method, path) = (shown(method.as_str(), METHOD_MAX), shown(path, PATH_MAX));
        format!("remote-ollama-proxy: {method} {path}: {} (rule: {})", self.words(), self.rule())
    }

    /// The answer to `method` on `path`.
    pub(super) fn answer(&self, method: &Method, path: &str) -> Response<Bytes> {
        let (status, message) = (self.status(path), self.message(method, path));
        let json = match Dialect::of(path) {
            Dialect::Ollama => json!({ "error": message }),
            Dialect::OpenAi => json!({ "error": {
                "message": message, "type": kind(status), "param": null, "code": self.code(status) } }),
            Dialect::Anthropic => json!({ "type": "error", "error": {
                "type": kind(status), "message": message } }),
        };
        let mut response = Response::new(Bytes::from(json.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        match self {
            Failure::Refused(refusal @ Refusal::Method(_)) => {
                if let Ok(methods) = HeaderValue::from_str(&refusal.allow()) {
                    headers.insert(ALLOW, methods);
                }
            }
            Failure::Refused(Refusal::WebSocket) => {
                // Which protocol is required (RFC 9110, 15.5.22): the one that was to be left.
                headers.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            }
            Failure::Busy(Busy::Rate { wait, .. } | Busy::Tokens { wait, .. }) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
            }
            Failure::Https(address) => {
                if let Ok(address) = HeaderValue::from_str(address) {
                    headers.insert(LOCATION, address);
                }
            }
            Failure::Down { .. } | Failure::Busy(_) | Failure::Stopping | Failure::NoCertificate => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // Where the next request begins can't be told, or is too far away; or nobody wants an answer.
            Failure::Framing(_) | Failure::TooLarge(_) | Failure::Slow(_) | Failure::Left => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// The status of a refusal by the rules about models. OpenAI and Anthropic answer 404 for a model that the caller may
/// not use, and their clients take 403 for a problem with the login. Ollama's command line takes 404 for a model
/// that it is to pull, and then shows only why it can't.
fn model_status(refusal: &ModelRefusal, dialect: Dialect) -> StatusCode {
    match (dialect, refusal) {
        (Dialect::Ollama, _) => StatusCode::FORBIDDEN,
        (_, ModelRefusal::Body(_)) => StatusCode::BAD_REQUEST,
        _ => StatusCode::NOT_FOUND,
    }
}

/// The error type that OpenAI and Anthropic both use for a status.
fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "api_error",
        _ => "invalid_request_error",
    }
}

/// The most characters of a method and of a path that an answer repeats.
const METHOD_MAX: usize = 20;
const PATH_MAX: usize = 100;

/// What a client sent as far as it is worth repeating: printable and at most `max` characters.
fn shown(text: &str, max: usize) -> String {
    let printable = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' });
    match text.char_indices().nth(max) {
        Some(_) => printable.take(max).chain("…".chars()).collect(),
        None => printable.collect(),
    }
}
