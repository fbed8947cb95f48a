//! The names of the node, and the rules that follow from them and the config.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::policy::{Hosts, Policy};
use crate::proxy::Rules;

/// The names and addresses that the tailnet gives the node and its Service.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) dns_name: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) service_addresses: Vec<IpAddr>,
}

impl Names {
    pub(super) fn rules(&self, config: &Config) -> Rules {
        Rules {
            policy: Policy {
                endpoints: config.endpoints,
                preflight: config.http.preflight,
                hosts: self.hosts(config),
                models: config.models.clone(),
            },
            access: config.access.mode,
            limits: config.limits,
            pace: config.pace,
            usage: config.usage,
            upstream: Arc::new(config.upstream.clone()),
        }
    }

    /// The hosts that a request may name.
    fn hosts(&self, config: &Config) -> Hosts {
        let mut hosts = Hosts::default();
        hosts.add_dns_name(&self.dns_name);
        hosts.add(&config.node.hostname);
        if let Some(name) = config.node.service.as_ref().and_then(|service| service.strip_prefix("svc:")) {
            // A Service is in the same domain as the node.
            let domain = self.dns_name.split_once('.').map(|(_, domain)| format!(".{domain}"));
            hosts.add_dns_name(&format!("{name}{}", domain.unwrap_or_default()));
        }
        self.addresses.iter().chain(&self.service_addresses).for_each(|ip| hosts.add_ip(*ip));
        config.http.hosts.iter().for_each(|name| hosts.add(name));
        hosts
    }
}
