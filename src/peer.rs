//! The peer of a connection, as the tailnet identifies it.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

/// A peer's identity, fixed for the life of one connection.
///
/// A peer is either a user's device (`user` is set, `tags` is empty) or a tagged device, which has no user.
/// Source: Tailscale documentation, "Tags": a tagged device loses its user identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The peer's tailnet address and source port.
    pub addr: SocketAddr,
    /// The node's MagicDNS name without the final dot, for example `laptop.example.ts.net`.
    pub node: String,
    /// The node's stable id, which does not change when the node is renamed.
    pub stable_id: String,
    /// Login name of the owner, for example `anna@example.com`; `None` for a tagged device.
    pub user: Option<String>,
    /// Tags such as `tag:ai-client`; empty for a user's device.
    pub tags: Vec<String>,
    /// Operating system as the node reports it (`macOS`, `linux`, …); empty when unknown.
    pub os: String,
}

impl Peer {
    /// The user's login name, or the tags of a tagged device.
    pub fn principal(&self) -> String {
        self.user.clone().unwrap_or_else(|| self.tags.join(","))
    }

    /// What limits and records count by: a user with all devices, or one tagged device.
    pub fn identity(&self) -> &str {
        self.user.as_deref().unwrap_or(&self.stable_id)
    }
}

impl fmt::Display for Peer {
    /// `laptop.example.ts.net (anna@example.com, 100.64.0.2:51234)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", printable(&self.node), printable(&self.principal()), self.addr)
    }
}

/// `text` with unprintable characters escaped as in JSON: control characters, which could start a line or move a terminal's
/// cursor, invisible characters, and those that reverse the direction of text. JSON itself does not escape those from
/// U+007F on.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    // Nearly all text is printable ASCII, which is quicker to tell.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unprintable(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Control characters; marks, embeddings, overrides and isolates of direction (Unicode Standard Annex #9); and characters
/// without width.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_name_are_escaped() {
        let peer = Peer {
            addr: ([100, 64, 0, 2], 1).into(),
            node: "a\n\u{7f}".to_owned(),
            stable_id: String::new(),
            user: Some("ü\u{1b}[31m\u{9b}".to_owned()),
            tags: Vec::new(),
            os: String::new(),
        };
        assert_eq!(peer.to_string(), "a\\u000a\\u007f (ü\\u001b[31m\\u009b, 100.64.0.2:1)");
    }

    #[test]
    fn invisible_and_direction_characters_are_escaped() {
        for c in "\u{61c}\u{200b}\u{200f}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}".chars() {
            assert_eq!(printable(&format!("a{c}b")), format!("a\\u{:04x}b", u32::from(c)));
        }
        // Their neighbours are printable.
        let visible = "\u{61b}\u{200a}\u{2010}\u{2029}\u{202f}\u{205f}\u{206f}é😀";
        assert_eq!(printable(visible), visible);
    }
}
