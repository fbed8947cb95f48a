//! Why the proxy does not run, with what an operator can do about it.

use std::time::SystemTime;

use crate::auth::{self, CredentialKind, CredentialSource};
use crate::config::Config;
use crate::control::{ControlTask, custom_url};
use crate::stored;
use crate::tsnet::Error;

const LOGIN: &str = "remote-ollama-proxy login";

/// Part of the text of Go's crypto/x509 for a certificate that is not valid now.
const NOT_YET_VALID: &str = "certificate has expired or is not yet valid";

/// Part of the library's text for a state folder that another process holds.
const IN_USE: &str = "is in use by another node";

/// Why the proxy does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The tailnet node does not work.
    #[error("{error}: {way_out}")]
    Node {
        /// What the operator can do.
        way_out: String,
        /// The library's error.
        error: Error,
    },
    /// The control server is not asked: only a person can help.
    #[error("no key and no stored node: {way_out}")]
    NothingToJoinWith {
        /// What the operator can do.
        way_out: String,
    },
    /// A node without tags can't host a Service.
    #[error(
        "node.service is {service:?}, but only a tagged node can host a Service: it has joined without a tag; {way_out}, or take it out of the tailnet (`remote-ollama-proxy logout`) and use a tagged key"
    )]
    Untagged {
        /// The Service.
        service: String,
        /// How the node gets a tag.
        way_out: String,
    },
    /// The admin socket can't be opened.
    #[error("the admin socket in the state folder can't be opened: {0}")]
    Admin(std::io::Error),
    /// A part that the proxy can't work without has panicked.
    #[error("the {part} task panicked: the line above says where; the proxy exits, to be started again")]
    Panicked {
        /// The name of its task.
        part: &'static str,
    },
    /// A part that the proxy can't work without has ended.
    #[error("the {part} task ended by itself: the proxy exits, to be started again")]
    Ended {
        /// The name of its task.
        part: &'static str,
    },
    /// All tasks have ended as they should, but the proxy was not stopped.
    #[error("all tasks ended: the proxy exits, to be started again")]
    AllEnded,
    /// The process can't receive signals.
    #[error("cannot receive the signals to stop: {0}")]
    Signals(std::io::Error),
    /// The listener has ended by itself.
    #[error("the listener in the tailnet has ended: {0}")]
    Listener(std::io::Error),
}

/// Adds to the library's error what the operator can do.
pub(super) fn explain(error: Error, config: &Config) -> RunError {
    let found = &config.node.credential;
    let at_control = |task: ControlTask| task.at(config.node.control_url.as_deref());
    let way_out = match &error {
        Error::LoginNeeded { .. } if found.credential().is_none() => format!(
            "no auth key was found: log the node in with `{LOGIN}`, or {} and set {} or node.auth_key_file",
            at_control(ControlTask::MakeKey),
            auth::ENV
        ),
        Error::KeyExpired { .. } if found.credential().is_none() => {
            format!("log the node in with `{LOGIN}`, or start with a new auth key{}", rejoin_hint(config))
        }
        Error::KeyInvalid { .. } if found.client_secret().is_some() && !is_for_another_server(config) => {
            format!(
                "check in Tailscale's admin console that the OAuth client exists, has the scope auth_keys and may give node.tags; this was found: {found}"
            )
        }
        Error::LoginNeeded { .. } | Error::KeyInvalid { .. } | Error::KeyExpired { .. } => {
            format!("{}; this was found: {found}{}", at_control(ControlTask::MakeKey), rejoin_hint(config))
        }
        // With a wrong clock every certificate is invalid, and no other event shows the clock.
        Error::ControlUnreachable { reason } if reason.contains(NOT_YET_VALID) => {
            format!(
                "set this machine's clock, which says {}",
                crate::time::format_rfc3339_seconds(SystemTime::now())
            )
        }
        Error::ApprovalPending => format!("{}, then start again", at_control(ControlTask::Approve)),
        Error::ExchangeFailed { .. } => {
            "check the network: the secret is exchanged at https://api.tailscale.com, or at the baseURL in it"
                .to_owned()
        }
        Error::ControlUnreachable { .. } => match &config.node.control_url {
            Some(url) => format!("check the network and node.control_url, which is {url}"),
            None => "check the network".to_owned(),
        },
        Error::LoggingRequired => {
            "turn the requirement off in the tailnet, or use another tailnet".to_owned()
        }
        // The library says what to do, but does not know which key names the folder.
        Error::StateUnusable { reason } if reason.contains(IN_USE) => "node.state_dir names it".to_owned(),
        Error::StateUnusable { .. } => "set node.state_dir to a folder of this account".to_owned(),
        _ => "the tailnet node does not work".to_owned(),
    };
    RunError::Node { way_out, error }
}

/// Whether the credential is a client secret of Tailscale's, and the control server is another one, which accepts none of
/// the keys that Tailscale's API gives for it.
fn is_for_another_server(config: &Config) -> bool {
    let is_tailscales = config
        .node
        .credential
        .credential()
        .is_some_and(|c| c.kind() == CredentialKind::ClientSecret && !c.names_api());
    is_tailscales && custom_url(config.node.control_url.as_deref()).is_some()
}

/// Why the proxy does not start without a key and without a stored node.
pub(super) fn nothing_to_join_with(found: &CredentialSource) -> RunError {
    let way_out = match found {
        CredentialSource::MissingFile(path) => {
            format!("put an auth key into {}, which does not exist, or run `{LOGIN}`", path.display())
        }
        _ => format!("run `{LOGIN}`, or set {} or node.auth_key_file", auth::ENV),
    };
    RunError::NothingToJoinWith { way_out }
}

/// What else to do if the node has joined before, at a control server other than Tailscale's. Headscale 0.29 admits no
/// expired tagged node again, with any key, and uses up a one-time key at each try
/// (github.com/juanfont/headscale/issues/3371).
fn rejoin_hint(config: &Config) -> String {
    let control_url = config.node.control_url.as_deref();
    if custom_url(control_url).is_none() || !matches!(stored::read(&config.node.state_dir), Ok(Some(_))) {
        return String::new();
    }
    format!(
        ". If this node has joined before and has expired there, no key may help: {}, or delete it there and start with a new key",
        ControlTask::ExtendKey.at(control_url)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(error: Error) -> String {
        let config = crate::config::load(Some("/dev/null".as_ref()), &[], &auth::Environment::default());
        explain(error, &config.unwrap()).to_string()
    }

    #[test]
    fn missing_key_names_every_way_to_join() {
        assert_eq!(
            nothing_to_join_with(&CredentialSource::Unset).to_string(),
            "no key and no stored node: run `remote-ollama-proxy login`, or set TS_AUTHKEY or node.auth_key_file"
        );
        let text = nothing_to_join_with(&CredentialSource::MissingFile("/nowhere/key".into())).to_string();
        assert!(text.contains("/nowhere/key") && text.contains(LOGIN), "{text}");
    }

    #[test]
    fn client_secret_at_another_control_server_is_replaced_by_a_key_of_that_server() {
        let environment =
            |secret: &str| auth::Environment::new(|name| (name == "TS_CLIENT_SECRET").then(|| secret.into()));
        for (control_url, secret, way_out) in [
            ("https://headscale.example.com", "tskey-client-a", "headscale preauthkeys create"),
            (
                "https://headscale.example.com",
                "tskey-client-a?baseURL=https://h.example",
                "OAuth client exists",
            ),
            ("https://login.tailscale.com", "tskey-client-a", "OAuth client exists"),
        ] {
            let control = crate::config::Override {
                key: "node.control_url",
                value: control_url.to_owned(),
                source: "test".to_owned(),
            };
            let none = auth::Environment::default();
            let mut config = crate::config::load(Some("/dev/null".as_ref()), &[control], &none).unwrap();
            config.node.credential = environment(secret).find().unwrap().unwrap();
            let text = explain(Error::KeyInvalid { reason: "x".to_owned() }, &config).to_string();
            assert!(text.contains(way_out), "{control_url}, {secret}: {text}");
        }
    }

    #[test]
    fn each_error_names_a_way_out() {
        let reason = |text: &str| text.to_owned();
        for (error, way_out) in [
            (Error::LoginNeeded { url: String::new() }, LOGIN),
            (Error::KeyExpired { reason: reason("x") }, LOGIN),
            (Error::ApprovalPending, "admin console"),
            (Error::ExchangeFailed { reason: reason("refused") }, "https://api.tailscale.com"),
            (Error::ControlUnreachable { reason: reason("refused") }, "check the network"),
            (
                Error::ControlUnreachable {
                    reason: reason(
                        "x509: certificate has expired or is not yet valid: current time 1970-01-01",
                    ),
                },
                "set this machine's clock, which says 20",
            ),
        ] {
            let text = explained(error);
            assert!(text.contains(way_out), "{text}");
        }
    }
}
