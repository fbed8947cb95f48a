//! Changes of the node.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;

use super::ffi::Failure;
use super::{Error, Status};

/// A change of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The node is a working member of the tailnet.
    Running,
    /// The node is connecting to the tailnet.
    Starting,
    /// The node has been turned off.
    Stopped,
    /// The node is not, or no longer, logged in; its key may have expired.
    NeedsLogin,
    /// An admin must approve the device.
    NeedsApproval,
    /// The page at which a user can log the node in.
    LoginUrl(String),
    /// When the node key expires, as RFC 3339; `None`: never.
    KeyExpiry(Option<String>),
    /// All current health warnings, sorted; none: healthy.
    Health(Vec<String>),
    /// Why the control server no longer knows the node; `None`: it knows the node again.
    Deleted(Option<String>),
    /// Why the peer of a refused connection could not be identified; each kind of reason once.
    Refused(String),
    /// Name, addresses, and owner or tags from the tailnet. [`Status::stored`] is not set.
    Assigned(Status),
    /// Seconds by which the local clock is ahead of the control server's, negative if behind; 0: within five
    /// minutes.
    ClockAhead(i64),
    /// The peers or the tailnet policy may have changed.
    NetmapChanged,
    /// The node is unusable until the operator acts: its key has expired, the tailnet requires log upload, or
    /// the control server rejects the node.
    Failed(Error),
}

/// The stream of a node's [`Event`]s, the current state first.
pub struct Events {
    lines: Lines<BufReader<UnixStream>>,
}

impl Events {
    pub(super) fn new(fd: OwnedFd) -> Result<Self, Error> {
        let stream =
            UnixStream::from_std(StdStream::from(fd)).map_err(|e| Error::Other(format!("events: {e}")))?;
        Ok(Events { lines: BufReader::new(stream).lines() })
    }

    /// The next event; `None` once the node is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        while let Ok(Some(line)) = self.lines.next_line().await {
            match parse(&line) {
                Some(event) => return Some(event),
                None => tracing::debug!(line, "ignored event of the tailnet node: unknown type or state"),
            }
        }
        None
    }
}

/// An event as the Go library writes it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Wire {
    State {
        state: String,
    },
    Login {
        login_url: String,
    },
    Key {
        key_expiry: Option<String>,
    },
    Health {
        warnings: Vec<String>,
    },
    Membership {
        error: Option<String>,
    },
    Refused {
        error: String,
    },
    Name {
        status: Status,
    },
    Netmap,
    Clock {
        #[serde(default)]
        ahead: i64,
    },
    Error {
        #[serde(flatten)]
        failure: Failure,
    },
}

fn parse(line: &str) -> Option<Event> {
    Some(match serde_json::from_str(line).ok()? {
        Wire::State { state } => match state.as_str() {
            "Running" => Event::Running,
            "Starting" => Event::Starting,
            "Stopped" => Event::Stopped,
            "NeedsLogin" => Event::NeedsLogin,
            "NeedsMachineAuth" => Event::NeedsApproval,
            _ => return None,
        },
        Wire::Login { login_url } => Event::LoginUrl(login_url),
        Wire::Key { key_expiry } => Event::KeyExpiry(key_expiry),
        Wire::Membership { error } => Event::Deleted(error),
        Wire::Refused { error } => Event::Refused(error),
        Wire::Health { warnings } => Event::Health(warnings),
        Wire::Name { status } => Event::Assigned(status),
        Wire::Clock { ahead } => Event::ClockAhead(ahead),
        Wire::Netmap => Event::NetmapChanged,
        Wire::Error { failure } => Event::Failed(failure.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_parsed() {
        for (line, event) in [
            (r#"{"type":"state","state":"Running"}"#, Event::Running),
            (r#"{"type":"login","login_url":"https://c/a/1"}"#, Event::LoginUrl("https://c/a/1".into())),
            (r#"{"type":"key"}"#, Event::KeyExpiry(None)),
            (r#"{"type":"membership","error":"gone"}"#, Event::Deleted(Some("gone".into()))),
            (r#"{"type":"membership"}"#, Event::Deleted(None)),
            (r#"{"type":"refused","error":"why"}"#, Event::Refused("why".into())),
            (r#"{"type":"health","warnings":["a","b"]}"#, Event::Health(vec!["a".into(), "b".into()])),
            (
                r#"{"type":"name","status":{"dns_name":"n.t","addresses":["100.64.0.1"],"user":"a@b","magic_dns":true}}"#,
                Event::Assigned(Status {
                    dns_name: "n.t".into(),
                    addresses: vec!["100.64.0.1".parse().unwrap()],
                    user: Some("a@b".into()),
                    magic_dns: true,
                    ..Status::default()
                }),
            ),
            (
                r#"{"type":"name","status":{"dns_name":"","addresses":[],"service_addresses":["fd7a::1"],"cert_domains":["n.t"],"tags":["tag:a"]}}"#,
                Event::Assigned(Status {
                    service_addresses: vec!["fd7a::1".parse().unwrap()],
                    cert_domains: vec!["n.t".to_owned()],
                    tags: vec!["tag:a".to_owned()],
                    ..Status::default()
                }),
            ),
            (r#"{"type":"clock","ahead":-600}"#, Event::ClockAhead(-600)),
            (r#"{"type":"clock"}"#, Event::ClockAhead(0)),
            (r#"{"type":"netmap"}"#, Event::NetmapChanged),
            (
                r#"{"type":"error","kind":5,"error":"it expired"}"#,
                Event::Failed(Error::KeyExpired { reason: "it expired".into() }),
            ),
            (r#"{"type":"error","kind":9,"error":"logs"}"#, Event::Failed(Error::LoggingRequired)),
        ] {
            assert_eq!(parse(line), Some(event), "{line}");
        }
        assert_eq!(parse("{"), None);
    }
}
