//! A failure as the client reads it, in the error format of the API that was called.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::admission::Busy;
use crate::policy::{Dialect, Refusal};
use crate::proxy::headers;
use crate::proxy::refusal::failure::Failure;

/// The most characters of a method and of a path that an answer repeats.
const METHOD_MAX: usize = 20;
const PATH_MAX: usize = 100;

/// The proxy's answer to a request that failed: JSON, unless [`with_body`](RefusalAnswer::with_body) replaces it.
pub(crate) struct RefusalAnswer {
    /// What happened, the rule, and the way out.
    pub(crate) message: String,
    pub(crate) request_id: String,
    response: Response<Bytes>,
}

impl RefusalAnswer {
    /// The answer to the request that begins with `head`.
    pub(crate) fn new(failure: &Failure, head: &Parts, request_id: String) -> Self {
        let (path, dialect) = (head.uri.path(), Dialect::of(head.uri.path()));
        let (status, message) = (failure.status(path), message(failure, &head.method, path));
        let body = json_body(failure, status, &message, &request_id, dialect);
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = status;
        let to = response.headers_mut();
        to.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers::add_request_id(to, &request_id, dialect);
        add_headers(failure, to);
        RefusalAnswer { message, request_id, response }
    }

    /// The same answer with another body than JSON.
    pub(crate) fn with_body(mut self, content_type: &'static str, body: Bytes) -> Self {
        self.response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        *self.response.body_mut() = body;
        self
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        self.response
    }
}

fn message(failure: &Failure, method: &Method, path: &str) -> String {
    let (method, path) = (printable(method.as_str(), METHOD_MAX), printable(path, PATH_MAX));
    format!("remote-ollama-proxy: {method} {path}: {} (rule: {})", failure.reason(), failure.rule().name())
}

/// The request's id is a field next to the message in Ollama's and OpenAI's format, which have none of their own, and where
/// Anthropic's own errors have it ("Errors" in its API documentation).
fn json_body(failure: &Failure, status: StatusCode, message: &str, id: &str, dialect: Dialect) -> Value {
    match dialect {
        Dialect::Ollama => json!({ "error": message, "request_id": id }),
        Dialect::OpenAi => json!({ "error": {
            "message": message,
            "type": error_type(status),
            "param": null,
            "code": openai_code(failure, status),
            "request_id": id,
        } }),
        Dialect::Anthropic => json!({
            "type": "error",
            "error": { "type": error_type(status), "message": message },
            "request_id": id,
        }),
    }
}

/// The code that OpenAI's clients look at: OpenAI's own for a model that may not be used, else the rule's name.
fn openai_code(failure: &Failure, status: StatusCode) -> &'static str {
    match failure {
        Failure::Refused(Refusal::Model(_)) if status == StatusCode::NOT_FOUND => "model_not_found",
        _ => failure.rule().name(),
    }
}

/// The error type that OpenAI and Anthropic both use for a status.
fn error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "api_error",
        _ => "invalid_request_error",
    }
}

/// Adds the headers that tell a client what to do next.
fn add_headers(failure: &Failure, to: &mut HeaderMap) {
    match failure {
        Failure::Refused(refusal @ Refusal::Method(_)) => {
            if let Ok(methods) = HeaderValue::from_str(&refusal.allow()) {
                to.insert(ALLOW, methods);
            }
        }
        Failure::Refused(Refusal::WebSocket) => {
            // Names the protocol that is required (RFC 9110, 15.5.22): HTTP/1.1, which the client wanted to leave.
            to.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
            to.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        Failure::Busy(Busy::Rate { wait, .. } | Busy::Quota { wait, .. }) => {
            to.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
        }
        Failure::Https(address) => {
            if let Ok(address) = HeaderValue::from_str(address) {
                to.insert(LOCATION, address);
            }
        }
        Failure::Down { .. } | Failure::Busy(_) | Failure::Stopping | Failure::NoCertificate => {
            to.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // The beginning of the next request is unknown or too far away, or the client reads no answer.
        Failure::Framing(_) | Failure::TooLarge(_) | Failure::Slow(_) | Failure::Left => {
            to.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
}

/// What a client sent, cut to `max` characters, with `?` for every character that is not printable ASCII.
fn printable(text: &str, max: usize) -> String {
    let printable = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' });
    match text.char_indices().nth(max) {
        Some(_) => printable.take(max).chain("…".chars()).collect(),
        None => printable.collect(),
    }
}
