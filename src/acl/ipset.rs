//! IP sets, evaluated to blocks of addresses.
//!
//! Source: Tailscale documentation, "IP sets": operations are processed in order.

use super::block::Block;

/// An IP set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct IpSet {
    /// The name in the file.
    pub(super) name: String,
    /// Its addresses. The blocks do not overlap.
    pub(super) blocks: Vec<Block>,
    /// Whether `autogroup:internet` was added or removed. Its addresses are not evaluated; none is in the tailnet.
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
        self.blocks = Block::difference(&self.blocks, &other.blocks);
        self.internet |= other.internet;
    }
}
