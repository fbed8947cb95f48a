//! The flag for the config file that the service reads.

use std::path::PathBuf;

use clap::Args;

use crate::config;

#[derive(Debug, Args)]
pub(super) struct ConfigArg {
    /// The config file, if it is not at the default path
    #[arg(short, long, value_name = "FILE", env = "REMOTE_OLLAMA_PROXY_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

impl ConfigArg {
    /// The config file, if the service would not find it: one named by the flag, or one in XDG_CONFIG_HOME, which the
    /// service does not see.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let elsewhere = || {
            std::env::var_os("XDG_CONFIG_HOME").and_then(|_| config::default_path()).filter(|p| p.exists())
        };
        let named =
            self.config.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        named.or_else(elsewhere)
    }
}
