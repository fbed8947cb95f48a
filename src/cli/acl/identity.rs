//! The node's identity in the tailnet, by which policy files name it: its tags, or its owner.

use super::super::ask;
use crate::acl::{Addresses, Device};
use crate::admin::Status;
use crate::config::Config;
use crate::stored::{self, Owner};

/// The tag of a node that has none yet.
pub(super) const TAG: &str = "tag:ai-server";

/// The node, and whether its identity is certain.
pub(super) struct Identity {
    pub(super) device: Device,
    /// Why the identity may be another one; `None`: it is certain, or set on the command line.
    pub(super) assumed: Option<String>,
}

impl Identity {
    /// `tags` and `user` are those of the command line, which take precedence.
    pub(super) fn of(tags: &[String], user: Option<&str>, config: &Config) -> Identity {
        let named = match user {
            Some(user) => Some(Device::of_user(user)),
            None => (!tags.is_empty()).then(|| Device::tagged(tags.to_vec())),
        };
        match named.or_else(|| joined(config)) {
            Some(device) => Identity { device, assumed: None },
            None => Identity::assumed(config),
        }
    }

    fn assumed(config: &Config) -> Identity {
        let stored = stored::read(&config.node.state_dir).ok().flatten();
        let (tags, folder) = (&config.node.tags, config.node.state_dir.display());
        let (device, why) = match stored.and_then(|node| node.owner) {
            Some(Owner::User(user)) => {
                // An admin may have given it tags since then.
                let asked = if tags.is_empty() {
                    String::new()
                } else {
                    format!(", though node.tags asks for {}", tags.join(", "))
                };
                (Device::of_user(user), format!("the node belonged to that user when it joined{asked}"))
            }
            Some(Owner::Tags) if tags.is_empty() => (
                Device::tagged([TAG]),
                format!("the node has tags, but the state folder {folder} does not say which"),
            ),
            Some(Owner::Tags) => (
                Device::tagged(tags.clone()),
                "node.tags says so, and the node may have joined with others".to_owned(),
            ),
            None if tags.is_empty() => (
                Device::tagged([TAG]),
                format!("no node has joined from the state folder {folder}, and node.tags is not set"),
            ),
            None => (
                Device::tagged(tags.clone()),
                format!("node.tags says so, and no node has joined from the state folder {folder} yet"),
            ),
        };
        let why = format!("{why}: start the proxy, or set --tag or --user, to be certain");
        Identity { device, assumed: Some(why) }
    }
}

/// The node's identity as a running proxy reports it, if it has joined.
fn joined(config: &Config) -> Option<Device> {
    let node = ask::ask_if_running::<Status>(config, "/status")?.node;
    let device = match node.user {
        Some(user) => Device::of_user(user),
        None if node.tags.is_empty() => return None,
        None => Device::tagged(node.tags),
    };
    Some(device.with(Addresses::Known(node.addresses)))
}
