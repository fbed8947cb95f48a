//! Who is at the other end of a connection, as the tailnet says.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

/// The tailnet's answer to "who is speaking", fixed for the life of one connection.
///
/// A peer is either a user's device (`user` is set, `tags` is empty) or a tagged device, which
/// acts as its tags and has no user.
/// Source: Tailscale documentation, "Tags": a tagged device loses its user identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The peer's tailnet address and source port.
    pub addr: SocketAddr,
    /// The node's MagicDNS name without the final dot, for example `laptop.example.ts.net`.
    pub node: String,
    /// The node's stable id: the same for the life of the node, whatever it is renamed to.
    pub stable_id: String,
    /// Login name of the owner, for example `anna@example.com`; `None` for a tagged device.
    pub user: Option<String>,
    /// Tags such as `tag:ai-client`; empty for a user's device.
    pub tags: Vec<String>,
    /// Operating system as the node reports it (`macOS`, `linux`, …); empty when unknown.
    pub os: String,
}

impl Peer {
    /// Who acts: the user's login name, or the tags of a tagged device.
    pub fn principal(&self) -> String {
        self.user.clone().unwrap_or_else(|| self.tags.join(","))
    }

    /// Whose requests are counted together: all devices of a user, but each tagged device by itself.
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

/// A text as a log shows it: control characters, which could begin a line or move a terminal's
/// cursor, are escaped as in JSON, and so are characters that nobody sees and those that turn the
/// direction of what follows. Those from U+007F on JSON itself lets be.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unseen(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters; marks, embeddings, overrides and isolates of direction (Unicode Standard Annex #9);
/// and what has no width.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_neither_begin_a_line_nor_move_a_cursor() {
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
    fn a_name_can_neither_hide_nor_turn_what_is_shown() {
        for c in "\u{61c}\u{200b}\u{200f}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}".chars() {
            assert_eq!(printable(&format!("a{c}b")), format!("a\\u{:04x}b", u32::from(c)));
        }
        // What stands next to them is seen.
        let seen = "\u{61b}\u{200a}\u{2010}\u{2029}\u{202f}\u{205f}\u{206f}é😀";
        assert_eq!(printable(seen), seen);
    }
}
