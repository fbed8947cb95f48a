//! The real binary in a real tailnet (control server, relay and WireGuard on loopback) in front of a real Ollama. A
//! missing tool fails the tests.
#![cfg(feature = "tailnet")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod access_log;
mod acl;
#[path = "../support/admin.rs"]
mod admin;
#[cfg(not(target_os = "macos"))]
mod awake;
mod clients;
mod doctor;
mod endpoints;
mod ends;
mod events;
#[path = "../../build/go.rs"]
mod go;
#[path = "../support/http.rs"]
mod http;
// Only on Linux does Go read the roots to trust from a variable.
#[cfg(target_os = "linux")]
mod https;
mod lifecycle;
mod login;
mod logs;
mod membership;
mod metrics;
mod models;
#[path = "../support/ollama.rs"]
mod ollama;
mod onboarding;
mod optional_endpoints;
mod outside;
mod preload;
#[path = "../support/process.rs"]
mod process;
mod quotas;
#[path = "../support/recorder.rs"]
mod recorder;
mod refusals;
mod reload;
mod revocation;
mod service;
mod status;
#[path = "../support/tailnet.rs"]
mod tailnet;
mod top;
mod usage;
mod who;
