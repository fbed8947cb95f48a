//! Asking the running proxy.

use anyhow::Context;
use http::Method;
use serde::de::DeserializeOwned;

use super::{complain, exit, refuse_over};
use crate::admin::{self, AskFault};
use crate::config::{Config, ConfigFaults};

/// Shows the faults of a config in which the running proxy's socket was looked for.
pub(super) fn refuse_to_ask(faults: &ConfigFaults) -> u8 {
    let code = refuse_over(&faults.faults, "nothing was asked");
    complain(
        "to ask the running proxy all the same, name its state folder: --config /dev/null --state-dir DIR",
    );
    code
}

/// Asks the proxy that runs with this config; its answer as it came and as it is understood.
///
/// # Errors
/// The exit code, once what is wrong was said.
pub(super) fn ask<T: DeserializeOwned>(
    config: &Config,
    method: Method,
    target: &str,
) -> Result<(String, T), u8> {
    let asked = text(config, method, target).and_then(|text| {
        let understood = serde_json::from_str(&text)
            .context("the running proxy is of another version than this command")?;
        Ok((text, understood))
    });
    asked.map_err(|fault| {
        complain(&format!("remote-ollama-proxy: {fault:#}"));
        if fault.is::<AskFault>() { exit::UNAVAILABLE } else { exit::FAILURE }
    })
}

/// The same from a proxy that need not run: `None` if none answers.
pub(super) fn answer<T: DeserializeOwned>(config: &Config, target: &str) -> Option<T> {
    serde_json::from_str(&text(config, Method::GET, target).ok()?).ok()
}

/// The exit code, once it was said, if a proxy runs with this config: the node is its, so nobody else may change it.
#[cfg(feature = "tailnet")]
pub(super) fn refuse_running(config: &Config) -> Option<u8> {
    text(config, Method::GET, "/healthz").ok()?;
    complain(&format!(
        "remote-ollama-proxy: a proxy runs as this node, with the state folder {}: stop it first, with \
         `remote-ollama-proxy service stop`, or with Ctrl-C where somebody started it by hand",
        config.node.state_dir.display()
    ));
    Some(exit::STATE)
}

/// What questions are asked with.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("the async runtime does not start")
}

fn text(config: &Config, method: Method, target: &str) -> anyhow::Result<String> {
    let answer = runtime()?.block_on(admin::ask(&admin::path(&config.node.state_dir), method, target))?;
    Ok(String::from_utf8(answer.into())?)
}
