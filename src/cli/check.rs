//! `check`: the config as it would be used, or all that is wrong with it.

use super::{ConfigArgs, exit, refuse};
use crate::auth;
use crate::config::{Config, Fault, Faults};

pub(super) fn check(args: &ConfigArgs) -> u8 {
    match args.load() {
        Ok(config) => match auth::key(&config.node) {
            Ok(found) => {
                show(&config, &found);
                exit::OK
            }
            Err(fault) => {
                let (key, value) = ("node.auth_key_file".to_owned(), String::new());
                let faults = vec![Fault { key, value, reason: fault.to_string() }];
                refuse(&Faults { source: "config".to_owned(), faults })
            }
        },
        Err(faults) => refuse(&faults),
    }
}

fn show(config: &Config, found: &auth::Found) {
    let node = &config.node;
    let or = |value: &Option<String>, other: &str| value.clone().unwrap_or_else(|| other.to_owned());
    println!("node       {} in {}", node.hostname, or(&node.control_url, "Tailscale's own control server"));
    println!(
        "tags       {}",
        if node.tags.is_empty() { "those of the key".to_owned() } else { node.tags.join(", ") }
    );
    println!("state      {}", node.state_dir.display());
    println!("auth key   {found}");
    println!("listens on port {} of the node's tailnet addresses, and nowhere else", config.port);
    println!("upstream   {}", config.upstream);
    println!("preflight  {}", if config.http.preflight { "goes through" } else { "is refused" });
    println!("endpoints");
    for endpoint in config.endpoints.iter() {
        println!("  {:<20} {:<9} {}", endpoint.name(), endpoint.allow(), endpoint.path());
    }
}
