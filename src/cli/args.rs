//! Where the config is, and what goes before it: a flag and an environment variable for each.

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
    help: "The config file [default: config.toml in the user's config folder, if it is there]",
};

const OVERRIDES: [Flag; 6] = [
    Flag {
        key: "node.hostname",
        name: "hostname",
        value: "NAME",
        variable: "REMOTE_OLLAMA_PROXY_HOSTNAME",
        help: "Name of the node in the tailnet",
    },
    Flag {
        key: "node.state_dir",
        name: "state-dir",
        value: "DIR",
        variable: "REMOTE_OLLAMA_PROXY_STATE_DIR",
        help: "Folder for the node's keys",
    },
    Flag {
        key: "node.control_url",
        name: "control-url",
        value: "URL",
        variable: "REMOTE_OLLAMA_PROXY_CONTROL_URL",
        help: "Control server, for tailnets that are not Tailscale's",
    },
    Flag {
        key: "listen.port",
        name: "port",
        value: "PORT",
        variable: "REMOTE_OLLAMA_PROXY_PORT",
        help: "Port in the tailnet",
    },
    Flag {
        key: "upstream.url",
        name: "upstream",
        value: "URL",
        variable: "REMOTE_OLLAMA_PROXY_UPSTREAM",
        help: "Ollama: http://127.0.0.1:PORT or unix:/PATH",
    },
    Flag {
        key: "log.level",
        name: "log",
        value: "LEVEL",
        variable: "REMOTE_OLLAMA_PROXY_LOG",
        help: "Log level: error, warn, info, debug, trace, off, or by module: info,tsnet=debug",
    },
];

struct Flag {
    /// The key of the config that it goes before.
    key: &'static str,
    name: &'static str,
    value: &'static str,
    variable: &'static str,
    help: &'static str,
}

impl Flag {
    fn arg(&self) -> Arg {
        // The value of a variable is not shown in the help: somebody may have put a key there.
        Arg::new(self.name)
            .long(self.name)
            .value_name(self.value)
            .env(self.variable)
            .hide_env_values(true)
            .help(self.help)
    }
}

/// Has the help show, of the flags that go before the config, these alone: those that change what the command does.
/// The others are taken, too, so that one set of flags does for every command.
pub(super) fn shown(names: &'static [&str]) -> impl Fn(Arg) -> Arg {
    move |arg| {
        let goes_before = OVERRIDES.iter().any(|flag| arg.get_id() == flag.name);
        let hide = goes_before && !names.iter().any(|name| arg.get_id() == name);
        arg.hide(hide)
    }
}

/// The config file, and what goes before it.
#[derive(Debug)]
pub(super) struct ConfigArgs {
    /// The config file, if somebody names one.
    pub(super) config: Option<PathBuf>,
    overrides: Vec<Override>,
}

impl ConfigArgs {
    /// The config, with what the node joins with.
    pub(super) fn load(&self) -> Result<Config, ConfigFaults> {
        config::load(self.config.as_deref(), &self.overrides, &Environment::of_process())
    }
}

/// By hand, because what is derived does not say whether a value came from the command line or from
/// the environment, and a fault has to.
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
        // So that -1 is a value, and told like any other port that is none.
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
    fn every_flag_goes_before_a_key_that_there_is() {
        let keys = config::keys();
        for flag in &OVERRIDES {
            assert!(keys.iter().any(|key| key == flag.key), "{}", flag.key);
            let variable = flag.name.to_uppercase().replace('-', "_");
            assert_eq!(flag.variable, format!("REMOTE_OLLAMA_PROXY_{variable}"));
        }
    }
}
