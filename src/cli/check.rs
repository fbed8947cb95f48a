//! `check`: shows the config in force, or all of its faults.

use std::fmt::Write;

use super::args::ConfigArgs;
use super::{complain, refuse, show};
use crate::config::{Config, default_path};
use crate::control::missing_at_headscale;

pub(super) fn check(args: &ConfigArgs) -> u8 {
    match args.load() {
        Ok(config) => {
            warn_of_missing(&config);
            show(&listing(args, &config))
        }
        Err(faults) => refuse(&faults),
    }
}

/// Warns of settings that need what Headscale does not have.
pub(super) fn warn_of_missing(config: &Config) {
    for missing in missing_at_headscale(config) {
        complain(&format!("remote-ollama-proxy: warning: {missing}"));
    }
}

/// Each setting in force on its own line.
fn listing(args: &ConfigArgs, config: &Config) -> String {
    let mut text = String::new();
    for (name, value) in [("config", source(args))].into_iter().chain(config.listing()) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{name:<27} {value}");
    }
    text.push_str("endpoints\n");
    for endpoint in config.endpoints.iter() {
        let _ = writeln!(text, "  {:<23} {:<9} {}", endpoint.name(), endpoint.allow(), endpoint.path());
    }
    text
}

fn source(args: &ConfigArgs) -> String {
    match args.config.clone().or_else(default_path) {
        Some(path) if args.config.is_some() || path.exists() => path.display().to_string(),
        Some(path) => format!("the defaults, because {} does not exist", path.display()),
        None => "the defaults".to_owned(),
    }
}
