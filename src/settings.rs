//! The config in force, the rules that follow from it, and reloading both.

mod names;
mod restart;

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::{Config, ConfigFault, ConfigFaults, LogConfig};
use crate::proxy::Rules;
use names::Names;

/// The config in force, and what follows from it.
pub struct Settings {
    config: watch::Sender<Arc<Config>>,
    rules: watch::Sender<Arc<Rules>>,
    /// Locked from reading the config and the names until the rules that follow from them are published.
    names: Mutex<Names>,
    /// Locked from reading the config's file until it is in force, so that the file read last wins.
    reloading: Mutex<()>,
    source: Source,
}

/// How to read the config again, and how to apply its log level.
pub struct Source {
    /// Reads the config again, from where it was read first.
    pub load: Box<dyn Fn() -> Result<Config, ConfigFaults> + Send + Sync>,
    /// Applies the level of the log.
    pub set_log_level: Box<dyn Fn(&LogConfig) + Send + Sync>,
}

/// The outcome of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The keys that have changed and take effect at the next start.
    pub restart: Vec<&'static str>,
}

impl Settings {
    /// Puts `config` in force.
    pub fn new(config: Config, source: Source) -> Self {
        let names = Names::default();
        let rules = watch::Sender::new(Arc::new(names.rules(&config)));
        let config = watch::Sender::new(Arc::new(config));
        Settings { config, rules, names: Mutex::new(names), reloading: Mutex::new(()), source }
    }

    /// The config at this moment.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// The config, and each later one.
    pub fn configs(&self) -> watch::Receiver<Arc<Config>> {
        self.config.subscribe()
    }

    /// The rules of the proxy, and each later version.
    pub fn rules(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.subscribe()
    }

    /// Sets the names and addresses of the node, and the addresses of its Service. Requests for these hosts are accepted.
    pub fn set_names(&self, dns_name: String, addresses: Vec<IpAddr>, service_addresses: Vec<IpAddr>) {
        let mut names = self.names.lock();
        *names = Names { dns_name, addresses, service_addresses };
        self.publish(names.rules(&self.config()));
    }

    /// Reloads the config, as a whole or not at all. Running requests go on. Files and names are read on a thread that may
    /// block.
    ///
    /// # Errors
    /// All faults of the new config. The old one stays in force.
    pub async fn reload(self: &Arc<Self>) -> Result<Reloaded, ConfigFaults> {
        let settings = Arc::clone(self);
        tokio::task::spawn_blocking(move || settings.reload_now()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the reload panicked: the old config stays in force");
            let reason = "the reload panicked; the log says where".to_owned();
            let (source, key, value) = ("reload".to_owned(), String::new(), String::new());
            Err(ConfigFaults { faults: vec![ConfigFault { source, key, value, reason }] })
        })
    }

    fn reload_now(&self) -> Result<Reloaded, ConfigFaults> {
        let _reloading = self.reloading.lock();
        let mut new = (self.source.load)().inspect_err(|faults| {
            tracing::error!("the new config is rejected, the old one stays in force: {faults}");
        })?;
        let restart = restart::keep(&self.config(), &mut new);
        (self.source.set_log_level)(&new.log);
        {
            let names = self.names.lock();
            // The rules first: a new config starts a sweep, which uses the rules.
            self.publish(names.rules(&new));
            self.config.send_replace(Arc::new(new));
        }
        if restart.is_empty() {
            tracing::info!("the new config is in force");
        } else {
            tracing::warn!(?restart, "the new config is in force, except for keys that need a restart");
        }
        Ok(Reloaded { restart })
    }

    /// To be called with `names` locked: the rules must follow from the latest config and names.
    fn publish(&self, new: Rules) {
        self.rules.send_if_modified(|rules| {
            let changed = **rules != new;
            *rules = Arc::new(new);
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::*;
    use crate::auth::Environment;
    use crate::config::Override;
    use crate::ollama::Upstream;

    fn config(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigFaults> {
        let overrides: Vec<_> = pairs
            .iter()
            .map(|(key, value)| Override { key, value: (*value).to_owned(), source: "test".to_owned() })
            .collect();
        crate::config::load(Some("/dev/null".as_ref()), &overrides, &Environment::default())
    }

    fn settings(next: impl Fn() -> Result<Config, ConfigFaults> + Send + Sync + 'static) -> Settings {
        let source = Source { load: Box::new(next), set_log_level: Box::new(|_| {}) };
        Settings::new(config(&[]).unwrap(), source)
    }

    #[test]
    fn faulty_config_changes_nothing() {
        let settings = settings(|| config(&[("listen.port", "0"), ("upstream.url", "http://127.0.0.1:1")]));
        let before = settings.config();
        assert_eq!(settings.reload_now().unwrap_err().faults.len(), 1);
        assert_eq!(settings.config(), before);
    }

    #[test]
    fn valid_config_takes_effect_except_for_keys_that_need_a_restart() {
        let settings = settings(|| {
            config(&[
                ("listen.port", "80"),
                ("metrics.port", "11434"),
                ("upstream.url", "http://127.0.0.1:1"),
            ])
        });
        let rules = settings.rules();
        let Reloaded { restart } = settings.reload_now().unwrap();
        assert_eq!(restart, ["listen.port", "metrics.port"]);
        assert_eq!((settings.config().port, settings.config().metrics_port), (11434, None));
        assert_eq!(rules.borrow().upstream.to_string(), "http://127.0.0.1:1");
    }

    /// Runs `other` while the config is reloaded, many times. Each config has another upstream port, and every second one
    /// is slow to read and to derive rules from. After both, the rules must follow from the config that was read last.
    fn race_with_reload(other: impl Fn(&Settings) + Sync) {
        let (last, plain) = (Arc::new(AtomicU16::new(0)), config(&[]).unwrap());
        let counter = Arc::clone(&last);
        let settings = settings(move || {
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            let mut config = plain.clone();
            config.upstream = Upstream::parse(&format!("http://127.0.0.1:{number}")).unwrap();
            if number % 2 == 1 {
                config.http.hosts = (0..200).map(|n| format!("host-{n}.example.com")).collect();
            }
            Ok(config)
        });
        let start = Barrier::new(2);
        for round in 0..2_000 {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    settings.reload_now().unwrap();
                });
                start.wait();
                other(&settings);
            });
            let expected = format!("http://127.0.0.1:{}", last.load(Ordering::SeqCst));
            let (config, rules) = (settings.config(), settings.rules());
            assert_eq!(config.upstream.to_string(), expected, "the config, round {round}");
            assert_eq!(rules.borrow().upstream.to_string(), expected, "the rules, round {round}");
        }
    }

    #[test]
    fn config_read_last_wins_when_two_reloads_run_at_once() {
        race_with_reload(|settings| drop(settings.reload_now().unwrap()));
    }

    #[test]
    fn rules_follow_from_the_last_config_when_the_names_change_meanwhile() {
        race_with_reload(|settings| settings.set_names("node.example.ts.net".to_owned(), vec![], vec![]));
    }

    #[test]
    fn keys_that_the_node_joins_with_need_a_restart() {
        let pairs =
            [("node.auth_key_file", "/nowhere/key"), ("node.keychain", "true"), ("node.up_timeout", "2s")];
        let settings = settings(move || config(&pairs));
        let before = settings.config();
        assert_eq!(settings.reload_now().unwrap().restart, pairs.map(|(key, _)| key));
        assert_eq!(settings.config(), before);
    }

    #[test]
    fn access_log_needs_a_restart() {
        let file = ("access_log.file", "/nowhere/a.jsonl");
        let changes = [file, ("access_log.max_size", "5"), ("access_log.max_age", "2h")];
        for pairs in [&changes[..], &[("access_log.enabled", "false")]] {
            let next = pairs.to_vec();
            let settings = settings(move || config(&next));
            let before = settings.config();
            let keys: Vec<_> = pairs.iter().map(|(key, _)| *key).collect();
            assert_eq!(settings.reload_now().unwrap().restart, keys);
            assert_eq!(settings.config(), before);
        }
        let settings = settings(|| config(&[("node.state_dir", "/nowhere")]));
        assert_eq!(settings.reload_now().unwrap().restart, ["node.state_dir"]);
    }
}
