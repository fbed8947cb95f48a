//! The boundary over in-memory streams: which requests and answers pass, and that nothing is lost, delayed or done
//! without a client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod access;
mod allowlist;
mod answers;
mod bodies;
mod cancel;
mod ends;
mod framing;
mod headers;
#[path = "../support/http.rs"]
mod http;
mod https;
mod matrix;
mod metrics;
mod models;
mod multipart;
#[path = "../support/ollama_routes.rs"]
mod ollama_routes;
mod pace;
mod page;
mod pairing;
mod queue;
mod refusals;
mod request_id;
mod rest;
#[path = "../support/routes.rs"]
mod routes;
#[path = "../support/spellings.rs"]
mod spellings;
mod streams;
mod support;
mod sweeper;
mod upgrade;
mod usage;
mod usage_by_model;
