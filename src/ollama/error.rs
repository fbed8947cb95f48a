//! Why Ollama gave no usable answer, and what the operator can do about it.

use std::io;
use std::time::Duration;

use http::StatusCode;

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
    /// The answer is a refusal.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// The answer's body is not what Ollama documents.
    #[error("the answer is not understood: {0}")]
    Body(#[source] serde_json::Error),
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
            OllamaFailure::Status(_) | OllamaFailure::Body(_) => {
                "check that upstream.url is the address of an Ollama, and update Ollama"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
