//! The config in force, what follows from it for the boundary, and taking another one in its place.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::config::{Config, ConfigFault, ConfigFaults, LogConfig};
use crate::policy::{Hosts, Policy};
use crate::proxy::Rules;

/// The config in force. What is derived from it changes with it.
pub struct Settings {
    config: watch::Sender<Arc<Config>>,
    rules: watch::Sender<Arc<Rules>>,
    /// Held from reading the config and the names until what follows from them is published.
    names: Mutex<Names>,
    /// Held from reading the config's file until it is in force, so that the file read last wins.
    reloading: Mutex<()>,
    source: Source,
}

/// Where a config comes from and what takes effect outside of the boundary.
pub struct Source {
    /// Reads the config anew, from wherever it was read first.
    pub load: Box<dyn Fn() -> Result<Config, ConfigFaults> + Send + Sync>,
    /// Makes the log as the config says.
    pub log: Box<dyn Fn(&LogConfig) + Send + Sync>,
}

/// What the tailnet calls this node.
#[derive(Debug, Default)]
struct Names {
    dns_name: String,
    addresses: Vec<IpAddr>,
    service_addresses: Vec<IpAddr>,
}

/// A new config is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The keys that have changed and take effect at the next start only.
    pub restart: Vec<&'static str>,
}

impl Settings {
    /// `config` is in force.
    pub fn new(config: Config, source: Source) -> Self {
        let names = Names::default();
        let rules = watch::Sender::new(Arc::new(rules(&config, &names)));
        let config = watch::Sender::new(Arc::new(config));
        Settings { config, rules, names: Mutex::new(names), reloading: Mutex::new(()), source }
    }

    /// The config at this moment.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// The config and each one that takes its place.
    pub fn configs(&self) -> watch::Receiver<Arc<Config>> {
        self.config.subscribe()
    }

    /// The rules for the boundary, as they come to be.
    pub fn rules(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.subscribe()
    }

    /// The tailnet calls this node, and the Service that it hosts, so: requests for these hosts are for
    /// it.
    pub fn named(&self, dns_name: String, addresses: Vec<IpAddr>, service_addresses: Vec<IpAddr>) {
        let mut names = lock(&self.names);
        *names = Names { dns_name, addresses, service_addresses };
        self.publish(rules(&self.config(), &names));
    }

    /// Reloads the config. It is taken whole or, with a fault in it, not at all; running requests go
    /// on. Files are read and names looked up on a thread that may block.
    ///
    /// # Errors
    /// All its faults; the old one stays in force.
    pub async fn reload(self: &Arc<Self>) -> Result<Reloaded, ConfigFaults> {
        let settings = Arc::clone(self);
        tokio::task::spawn_blocking(move || settings.reload_now()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "reload broke off: the old config stays in force");
            let reason = "the reload broke off; the log says why".to_owned();
            let (source, key, value) = ("reload".to_owned(), String::new(), String::new());
            Err(ConfigFaults { faults: vec![ConfigFault { source, key, value, reason }] })
        })
    }

    fn reload_now(&self) -> Result<Reloaded, ConfigFaults> {
        let _reloading = lock(&self.reloading);
        let mut new = (self.source.load)().inspect_err(|faults| {
            tracing::error!("the new config is not taken, the old one stays in force: {faults}");
        })?;
        let restart = keep_what_needs_a_restart(&self.config(), &mut new);
        (self.source.log)(&new.log);
        {
            let names = lock(&self.names);
            // The rules first: the follower wakes when the config changes, and judges by the rules.
            self.publish(rules(&new, &names));
            self.config.send_replace(Arc::new(new));
        }
        match restart.is_empty() {
            true => tracing::info!("the new config is in force"),
            false => tracing::warn!(
                ?restart,
                "the new config is in force, but for what takes effect at the next start only"
            ),
        }
        Ok(Reloaded { restart })
    }

    /// With `names` locked, as what is published must follow from the latest config and names.
    fn publish(&self, new: Rules) {
        self.rules.send_if_modified(|rules| {
            let changed = **rules != new;
            *rules = Arc::new(new);
            changed
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes over from `old` what can't change under a running node; the keys where `new` has something else.
fn keep_what_needs_a_restart(old: &Config, new: &mut Config) -> Vec<&'static str> {
    let mut restart = Vec::new();
    macro_rules! keep {
        ($($key:literal: $($field:ident).+;)*) => {
            $(if new.$($field).+ != old.$($field).+ {
                restart.push($key);
                new.$($field).+.clone_from(&old.$($field).+);
            })*
        };
    }
    keep! {
        "node.hostname": node.hostname;
        "node.state_dir": node.state_dir;
        "node.auth_key_file": node.auth_key_file;
        "node.client_secret_file": node.client_secret_file;
        "node.keychain": node.keychain;
        "node.control_url": node.control_url;
        "node.tags": node.tags;
        "node.service": node.service;
        "node.ephemeral": node.ephemeral;
        "node.port_mapping": node.port_mapping;
        "node.start_offline": node.start_offline;
        "node.up_timeout": node.up_timeout;
        "https": https_port;
        "listen.port": port;
        "listen.http": plain_http;
        "metrics.port": metrics_port;
        "page.port": page_port;
        "log.format": log.format;
        "log.file": log.file;
        "log.max_size": log.rotation.max_size;
        "log.max_age": log.rotation.max_age;
    }
    // It was used, or will not be; that what a file holds is another key by now, or none, is no change of a setting.
    new.node.credential.clone_from(&old.node.credential);
    restart
}

fn rules(config: &Config, names: &Names) -> Rules {
    let mut hosts = Hosts::default();
    hosts.add_dns_name(&names.dns_name);
    hosts.add(&config.node.hostname);
    if let Some(name) = config.node.service.as_ref().and_then(|service| service.strip_prefix("svc:")) {
        // In the same domain as the node, where that has a name.
        let domain = names.dns_name.split_once('.').map(|(_, domain)| format!(".{domain}"));
        hosts.add_dns_name(&format!("{name}{}", domain.unwrap_or_default()));
    }
    names.addresses.iter().chain(&names.service_addresses).for_each(|ip| hosts.add_ip(*ip));
    config.http.hosts.iter().for_each(|name| hosts.add(name));
    Rules {
        policy: Policy {
            endpoints: config.endpoints,
            preflight: config.http.preflight,
            hosts,
            models: config.models.clone(),
        },
        access: config.access.mode,
        limits: config.limits,
        pace: config.pace,
        usage: config.usage,
        upstream: Arc::new(config.upstream.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::*;
    use crate::auth::Environment;
    use crate::config::Override;
    use crate::upstream::Upstream;

    fn config(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigFaults> {
        let overrides: Vec<_> = pairs
            .iter()
            .map(|(key, value)| Override { key, value: (*value).to_owned(), source: "test".to_owned() })
            .collect();
        crate::config::load(Some("/dev/null".as_ref()), &overrides, &Environment::default())
    }

    fn settings(next: impl Fn() -> Result<Config, ConfigFaults> + Send + Sync + 'static) -> Settings {
        let source = Source { load: Box::new(next), log: Box::new(|_| {}) };
        Settings::new(config(&[]).unwrap(), source)
    }

    #[test]
    fn a_faulty_config_changes_nothing() {
        let settings = settings(|| config(&[("listen.port", "0"), ("upstream.url", "http://127.0.0.1:1")]));
        let before = settings.config();
        assert_eq!(settings.reload_now().unwrap_err().faults.len(), 1);
        assert_eq!(settings.config(), before);
    }

    #[test]
    fn a_sound_one_takes_effect_but_for_what_needs_a_restart() {
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

    /// Runs `other` while the config is reloaded, many times. Each config has an upstream port of its own;
    /// every second one takes long to read and to derive rules from. Once both have ended, the rules must
    /// follow from the config that was read last.
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
    fn rules_follow_from_the_last_config_when_the_node_is_named_meanwhile() {
        race_with_reload(|settings| settings.named("node.example.ts.net".to_owned(), vec![], vec![]));
    }

    #[test]
    fn whatever_a_node_comes_up_by_needs_a_restart() {
        let pairs =
            [("node.auth_key_file", "/nowhere/key"), ("node.keychain", "true"), ("node.up_timeout", "2s")];
        let settings = settings(move || config(&pairs));
        let before = settings.config();
        assert_eq!(settings.reload_now().unwrap().restart, pairs.map(|(key, _)| key));
        assert_eq!(settings.config(), before);
    }
}
