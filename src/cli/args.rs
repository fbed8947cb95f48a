//! The flags for the config file and for settings that override it. Each has an environment variable.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::auth::Environment;
use crate::config::{self, Config, ConfigFaults, Override};

const CONFIG: Flag = Flag {
    key: "",
    name: "config",
    value: "FILE",
    variable: "REMOTE_OLLAMA_PROXY_CONFIG",
    help: "The config file [default: config.toml in the user's config folder, which may be absent]",
};

const OVERRIDES: [Flag; 6] = [
    Flag {
        key: "node.hostname",
        name: "hostname",
        value: "NAME",
        variable: "REMOTE_OLLAMA_PROXY_HOSTNAME",
        help: "Name of the node in the tailnet; overrides node.hostname",
    },
    Flag {
        key: "node.state_dir",
        name: "state-dir",
        value: "DIR",
        variable: "REMOTE_OLLAMA_PROXY_STATE_DIR",
        help: "Folder for the node's keys; overrides node.state_dir",
    },
    Flag {
        key: "node.control_url",
        name: "control-url",
        value: "URL",
        variable: "REMOTE_OLLAMA_PROXY_CONTROL_URL",
        help: "Control server, if it is not Tailscale's; overrides node.control_url",
    },
    Flag {
        key: "listen.port",
        name: "port",
        value: "PORT",
        variable: "REMOTE_OLLAMA_PROXY_PORT",
        help: "Ollama port in the tailnet; overrides listen.port",
    },
    Flag {
        key: "upstream.url",
        name: "upstream",
        value: "URL",
        variable: "REMOTE_OLLAMA_PROXY_UPSTREAM",
        help: "Ollama: http://127.0.0.1:PORT or unix:/PATH; overrides upstream.url",
    },
    Flag {
        key: "log.level",
        name: "log",
        value: "LEVEL",
        variable: "REMOTE_OLLAMA_PROXY_LOG",
        help: "Log level: error, warn, info, debug, trace or off, also by module: info,tsnet=debug; overrides log.level",
    },
];

/// The overrides of a command that asks the running proxy. It needs only the folder with the admin socket.
pub(super) const ADMIN_OVERRIDES: &[&str] = &["state-dir"];

struct Flag {
    /// The key of the config that it overrides.
    key: &'static str,
    name: &'static str,
    value: &'static str,
    variable: &'static str,
    help: &'static str,
}

impl Flag {
    fn arg(&self) -> Arg {
        // The value of a variable may be a secret by mistake, so the help does not show it.
        Arg::new(self.name)
            .long(self.name)
            .value_name(self.value)
            .env(self.variable)
            .hide_env_values(true)
            .help(self.help)
    }
}

/// Hides all overrides except `names` from a command's help. The hidden ones have no effect on the command, but are
/// accepted, so that all commands take the same flags.
pub(super) fn shown(names: &'static [&str]) -> impl Fn(Arg) -> Arg {
    move |arg| {
        let is_override = OVERRIDES.iter().any(|flag| arg.get_id() == flag.name);
        let hide = is_override && !names.iter().any(|name| arg.get_id() == name);
        arg.hide(hide)
    }
}

/// The config file and its overrides.
#[derive(Debug)]
pub(super) struct ConfigArgs {
    /// The config file, if it is named.
    pub(super) config: Option<PathBuf>,
    overrides: Vec<Override>,
}

impl ConfigArgs {
    /// Loads the config.
    pub(super) fn load(&self) -> Result<Config, ConfigFaults> {
        config::load(self.config.as_deref(), &self.overrides, &Environment::of_process())
    }
}

/// By hand, because derived code does not tell the command line from the environment, which faults have to name.
impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |flag: &Flag| {
            let value = matches.get_one::<String>(flag.name)?.clone();
            let source = match matches.value_source(flag.name) {
                Some(ValueSource::EnvVariable) => flag.variable.to_owned(),
                _ => format!("--{}", flag.name),
            };
            Some(Override { key: flag.key, value, source })
        };
        Ok(ConfigArgs {
            config: matches.get_one(CONFIG.name).cloned(),
            overrides: OVERRIDES.iter().filter_map(given).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ConfigArgs {
    fn augment_args(command: Command) -> Command {
        let config = CONFIG.arg().short('c').value_parser(value_parser!(PathBuf));
        // So that -1 is a value, with the same fault as other invalid ports.
        command.arg(config).args(OVERRIDES.iter().map(|flag| flag.arg().allow_negative_numbers(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_overrides_a_known_key() {
        let keys = config::keys();
        for flag in &OVERRIDES {
            assert!(keys.iter().any(|key| key == flag.key), "{}", flag.key);
            let variable = flag.name.to_uppercase().replace('-', "_");
            assert_eq!(flag.variable, format!("REMOTE_OLLAMA_PROXY_{variable}"));
        }
    }
}
