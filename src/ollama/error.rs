//! Why Ollama gave no usable answer, and what the operator can do about it.

use std::io;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::one_shot::HttpError;

/// Why Ollama gave no usable answer to a request of the proxy's own.
#[derive(Debug, thiserror::Error)]
#[error("{}; {}", self.reason(), self.way_out())]
pub struct OllamaError {
    /// Ollama's address.
    pub address: String,
    /// The path of the request.
    pub target: &'static str,
    /// What failed.
    pub failure: OllamaFailure,
}

/// What failed in a request to Ollama.
#[derive(Debug, thiserror::Error)]
pub enum OllamaFailure {
    /// There is no connection.
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// The time limit has passed.
    #[error("no answer within {0:?}")]
    TimeOut(Duration),
    /// The connection broke, or the answer is not HTTP.
    #[error("the connection broke: {0}")]
    Http(#[source] HttpError),
    /// The answer is a refusal, with Ollama's reason, which is empty if it gave none.
    #[error("it answered {0}{sep}{1}", sep = if .1.is_empty() { "" } else { ": " })]
    Status(StatusCode, String),
    /// The answer's body is not what Ollama documents.
    #[error("the answer is not understood: {0}")]
    Body(#[source] serde_json::Error),
}

impl OllamaFailure {
    /// The failure of an answer with another status than 200. Ollama's answer is `{"error": REASON}`.
    pub(super) fn of_status(status: StatusCode, body: &[u8]) -> OllamaFailure {
        #[derive(Deserialize)]
        struct Answer {
            error: String,
        }
        let reason = serde_json::from_slice(body).map(|answer: Answer| printable(&answer.error));
        OllamaFailure::Status(status, reason.unwrap_or_default())
    }
}

/// The most characters of Ollama's reason that are repeated.
const REASON_MAX: usize = 300;

fn printable(text: &str) -> String {
    text.chars().take(REASON_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl OllamaError {
    /// What failed, with the address and the request.
    pub fn reason(&self) -> String {
        let OllamaError { address, target, failure } = self;
        format!("cannot ask Ollama at {address} for {target}: {failure}")
    }

    /// What the operator can do.
    pub fn way_out(&self) -> &'static str {
        match self.failure {
            OllamaFailure::Connect(_) => "start Ollama, or set upstream.url to its address",
            OllamaFailure::TimeOut(_) | OllamaFailure::Http(_) => "see Ollama's log, and restart Ollama",
            OllamaFailure::Status(..) | OllamaFailure::Body(_) => {
                "check that upstream.url is the address of an Ollama, and update Ollama"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_of_ollama_is_repeated_on_one_line() {
        let shown = |body: &str| OllamaFailure::of_status(StatusCode::NOT_FOUND, body.as_bytes()).to_string();
        assert_eq!(
            shown("{\"error\":\"model 'a'\\nnot found\"}"),
            "it answered 404 Not Found: model 'a' not found"
        );
        assert_eq!(shown("<html>"), "it answered 404 Not Found");
        let long = shown(&format!("{{\"error\":\"{}\"}}", "ä".repeat(1000)));
        assert_eq!(long.chars().filter(|c| *c == 'ä').count(), REASON_MAX);
    }

    #[test]
    fn error_names_address_reason_and_way_out() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = OllamaError {
            address: "http://127.0.0.1:11434".to_owned(),
            target: "/api/version",
            failure: OllamaFailure::Connect(refused),
        };
        assert_eq!(
            error.to_string(),
            "cannot ask Ollama at http://127.0.0.1:11434 for /api/version: connection refused; \
             start Ollama, or set upstream.url to its address"
        );
    }
}
