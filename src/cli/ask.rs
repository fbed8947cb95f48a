//! Requests to the running proxy over its admin socket.

use anyhow::Context;
use http::Method;
use serde::de::DeserializeOwned;

use super::{complain, exit, refuse_over};
use crate::admin::{self, AdminError};
use crate::config::{Config, Faults};

/// An answer of the running proxy.
pub(super) struct Answer<T> {
    /// As it was sent, for `--json`.
    pub(super) text: String,
    pub(super) value: T,
}

/// Shows the faults of a config that should have said where the admin socket is.
pub(super) fn refuse_to_ask(faults: &Faults) -> u8 {
    let code = refuse_over(&faults.faults, "the running proxy was not asked");
    complain(
        "to ask the running proxy without its config, name its state folder: --config /dev/null --state-dir DIR",
    );
    code
}

/// Sends a request to the proxy that runs with this config.
///
/// # Errors
/// The exit code, after the error has been shown.
pub(super) fn ask<T: DeserializeOwned>(
    config: &Config,
    method: Method,
    target: &str,
) -> Result<Answer<T>, u8> {
    let answer = text(config, method, target).and_then(|text| {
        let value = serde_json::from_str(&text)
            .context("the running proxy is of another version than this command")?;
        Ok(Answer { text, value })
    });
    answer.map_err(|error| {
        complain(&format!("remote-ollama-proxy: {error:#}"));
        if error.is::<AdminError>() { exit::UNAVAILABLE } else { exit::FAILURE }
    })
}

/// The answer to a `GET`, if a proxy runs with this config and answers.
pub(super) fn ask_if_running<T: DeserializeOwned>(config: &Config, target: &str) -> Option<T> {
    serde_json::from_str(&text(config, Method::GET, target).ok()?).ok()
}

/// If a proxy runs with this config, shows an error and returns its exit code: only that proxy may change the node.
#[cfg(feature = "tailnet")]
pub(super) fn refuse_running(config: &Config) -> Option<u8> {
    text(config, Method::GET, "/healthz").ok()?;
    complain(&format!(
        "remote-ollama-proxy: a proxy runs as this node, with the state folder {}: stop it first, with \
         `remote-ollama-proxy service stop`, or with Ctrl-C if it was started by hand",
        config.node.state_dir.display()
    ));
    Some(exit::STATE)
}

/// The async runtime for requests to the running proxy.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("cannot start the async runtime")
}

fn text(config: &Config, method: Method, target: &str) -> anyhow::Result<String> {
    let answer = runtime()?.block_on(admin::ask(&admin::path(&config.node.state_dir), method, target))?;
    Ok(String::from_utf8(answer.into())?)
}
