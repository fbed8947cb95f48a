//! The page in a headless Chromium, over a real tailnet. A missing tool fails the tests.
#![cfg(feature = "tailnet")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "../support/admin.rs"]
#[allow(dead_code, reason = "made for other tests, too")]
mod admin;
#[path = "../support/browser.rs"]
mod browser;
#[path = "../../build/go.rs"]
mod go;
#[path = "../support/http.rs"]
#[allow(dead_code, reason = "made for other tests, too")]
mod http;
mod ollama;
mod other_pages;
mod pictures;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "made for other tests, too")]
mod process;
#[path = "../support/ollama.rs"]
#[allow(dead_code, reason = "made for other tests, too")]
mod real;
mod scene;
#[path = "../support/tailnet.rs"]
#[allow(dead_code, reason = "made for other tests, too")]
mod tailnet;
mod whole;
