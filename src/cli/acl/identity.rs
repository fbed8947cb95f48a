//! Which node a policy file is judged for: policies know nodes by their tags, or by their owner.

use super::super::ask;
use crate::acl::{Addresses, Device};
use crate::admin::Status;
use crate::config::Config;
use crate::stored::{self, Owner};

/// The node's tag where nothing says another.
pub(super) const TAG: &str = "tag:ai-server";

/// The node, and how sure that is.
pub(super) struct Identity {
    pub(super) device: Device,
    /// Why it may be another one in the tailnet; `None`: it is known, or the command line says it.
    pub(super) assumed: Option<String>,
}

impl Identity {
    /// `tags` and `user` are those of the command line, and go before everything else.
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
                // An administrator may have given it tags since.
                let asked = match tags.is_empty() {
                    true => String::new(),
                    false => format!(", though node.tags asks for {}", tags.join(", ")),
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
        let why = format!("{why}: run the proxy, or say --tag or --user, to be certain");
        Identity { device, assumed: Some(why) }
    }
}

/// The node as the tailnet sees it, if a proxy runs that has joined.
fn joined(config: &Config) -> Option<Device> {
    let node = ask::ask_if_running::<Status>(config, "/status")?.node;
    let device = match node.user {
        Some(user) => Device::of_user(user),
        None if node.tags.is_empty() => return None,
        None => Device::tagged(node.tags),
    };
    Some(device.with(Addresses::Known(node.addresses)))
}
