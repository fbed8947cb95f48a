//! IP sets, worked out to blocks of addresses.
//!
//! Source: Tailscale documentation, "IP sets": operations are processed in order.

use super::block::Block;

/// An IP set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct IpSet {
    /// As the file names it.
    pub(super) name: String,
    /// What it comes to. No two blocks have an address in common.
    pub(super) blocks: Vec<Block>,
    /// Whether `autogroup:internet` was added or removed. Its addresses are not worked out. None of them is in
    /// the tailnet.
    pub(super) internet: bool,
}

impl IpSet {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && !self.internet
    }

    pub(super) fn add(&mut self, other: &IpSet) {
        self.remove(other);
        self.blocks.extend(&other.blocks);
    }

    pub(super) fn remove(&mut self, other: &IpSet) {
        self.blocks = Block::left(&self.blocks, &other.blocks);
        self.internet |= other.internet;
    }
}
