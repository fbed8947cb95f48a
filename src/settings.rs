//! The config in force, what follows from it for the boundary, and taking another one in its place.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::config::{Config, Faults, Log};
use crate::policy::{Hosts, Policy};
use crate::proxy::Rules;

/// The config in force. What is derived from it changes with it.
pub struct Settings {
    config: watch::Sender<Arc<Config>>,
    rules: watch::Sender<Arc<Rules>>,
    names: Mutex<Names>,
    source: Source,
}

/// Where a config comes from and what takes effect outside of the boundary.
pub struct Source {
    /// Reads the config anew, from wherever it was read first.
    pub load: Box<dyn Fn() -> Result<Config, Faults> + Send + Sync>,
    /// Makes the log as the config says.
    pub log: Box<dyn Fn(&Log) + Send + Sync>,
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
        Settings { config: watch::Sender::new(Arc::new(config)), rules, names: Mutex::new(names), source }
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
        *self.names() = Names { dns_name, addresses, service_addresses };
        self.derive();
    }

    /// Reads the config anew. It is taken whole or, with a fault in it, not at all; what runs goes on.
    ///
    /// # Errors
    /// All its faults; the old one stays in force.
    pub fn reload(&self) -> Result<Reloaded, Faults> {
        let mut new = (self.source.load)().inspect_err(|faults| {
            tracing::error!("the new config is not taken, the old one stays in force: {faults}");
        })?;
        let old = self.config();
        let restart = keep_what_needs_a_restart(&old, &mut new);
        (self.source.log)(&new.log);
        self.config.send_replace(Arc::new(new));
        self.derive();
        match restart.is_empty() {
            true => tracing::info!("the new config is in force"),
            false => tracing::warn!(
                ?restart,
                "the new config is in force, but for what takes effect at the next start only"
            ),
        }
        Ok(Reloaded { restart })
    }

    fn derive(&self) {
        let new = rules(&self.config(), &self.names());
        self.rules.send_if_modified(|rules| {
            let changed = **rules != new;
            *rules = Arc::new(new);
            changed
        });
    }

    fn names(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    use super::*;
    use crate::auth::Environment;
    use crate::config::Override;

    fn config(pairs: &[(&'static str, &str)]) -> Result<Config, Faults> {
        let overrides: Vec<_> = pairs
            .iter()
            .map(|(key, value)| Override { key, value: (*value).to_owned(), source: "test".to_owned() })
            .collect();
        crate::config::load(Some("/dev/null".as_ref()), &overrides, &Environment::default())
    }

    fn settings(next: impl Fn() -> Result<Config, Faults> + Send + Sync + 'static) -> Settings {
        let source = Source { load: Box::new(next), log: Box::new(|_| {}) };
        Settings::new(config(&[]).unwrap(), source)
    }

    #[test]
    fn a_faulty_config_changes_nothing() {
        let settings = settings(|| config(&[("listen.port", "0"), ("upstream.url", "http://127.0.0.1:1")]));
        let before = settings.config();
        assert_eq!(settings.reload().unwrap_err().faults.len(), 1);
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
        let Reloaded { restart } = settings.reload().unwrap();
        assert_eq!(restart, ["listen.port", "metrics.port"]);
        assert_eq!((settings.config().port, settings.config().metrics_port), (11434, None));
        assert_eq!(rules.borrow().upstream.to_string(), "http://127.0.0.1:1");
    }

    #[test]
    fn whatever_a_node_comes_up_by_needs_a_restart() {
        let pairs =
            [("node.auth_key_file", "/nowhere/key"), ("node.keychain", "true"), ("node.up_timeout", "2s")];
        let settings = settings(move || config(&pairs));
        let before = settings.config();
        assert_eq!(settings.reload().unwrap().restart, pairs.map(|(key, _)| key));
        assert_eq!(settings.config(), before);
    }
}
