//! Blocks of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses from the first to the last, both of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    first: IpAddr,
    last: IpAddr,
}

/// A version of IP. A packet has one at both of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Where Tailscale's addresses are from.
/// Source: Tailscale documentation, "IP pool" and "Reserved IP addresses".
const TAILNET: [Block; 2] = [
    Block {
        first: IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)),
        last: IpAddr::V4(Ipv4Addr::new(100, 127, 255, 255)),
    },
    Block {
        first: IpAddr::V6(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0)),
        last: IpAddr::V6(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff)),
    },
];

impl Block {
    pub(super) fn single(address: IpAddr) -> Block {
        Block { first: address, last: address }
    }

    /// Reads an address, a CIDR or, where `ranges` are allowed, `first-last`.
    pub(super) fn parse(text: &str, ranges: bool) -> Option<Block> {
        if let Ok(address) = text.parse() {
            return Some(Block::single(address));
        }
        if let Some((address, length)) = text.split_once('/') {
            return Block::cidr(address.parse().ok()?, length);
        }
        let (first, last) = text.split_once('-').filter(|_| ranges)?;
        let block = Block { first: first.parse().ok()?, last: last.parse().ok()? };
        (family(block.first) == family(block.last) && block.first <= block.last).then_some(block)
    }

    fn cidr(address: IpAddr, length: &str) -> Option<Block> {
        let plain = length.bytes().all(|b| b.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
        let length: u32 = length.parse().ok().filter(|_| plain)?;
        match address {
            IpAddr::V4(address) => {
                let rest = u32::MAX.checked_shr(length).unwrap_or(0);
                let bits = u32::from(address) & !rest;
                (length <= 32).then(|| Block {
                    first: Ipv4Addr::from(bits).into(),
                    last: Ipv4Addr::from(bits | rest).into(),
                })
            }
            IpAddr::V6(address) => {
                let rest = u128::MAX.checked_shr(length).unwrap_or(0);
                let bits = u128::from(address) & !rest;
                (length <= 128).then(|| Block {
                    first: Ipv6Addr::from(bits).into(),
                    last: Ipv6Addr::from(bits | rest).into(),
                })
            }
        }
    }

    pub(super) fn first(&self) -> IpAddr {
        self.first
    }

    pub(super) fn is_single(&self) -> bool {
        self.first == self.last
    }

    pub(super) fn family(&self) -> Family {
        family(self.first)
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        family(address) == self.family() && self.first <= address && address <= self.last
    }

    pub(super) fn covers(&self, other: &Block) -> bool {
        self.contains(other.first) && self.contains(other.last)
    }

    /// Whether every node of a tailnet has an address in it.
    pub(super) fn covers_tailnet(&self) -> bool {
        TAILNET.iter().any(|tailnet| self.covers(tailnet))
    }

    /// Whether every node of a tailnet has an address in one of them.
    pub(super) fn cover_tailnet(blocks: &[Block]) -> bool {
        TAILNET.iter().any(|tailnet| {
            let mut blocks: Vec<_> = blocks.iter().filter(|b| b.family() == tailnet.family()).collect();
            blocks.sort_by_key(|block| block.first);
            let (mut open, last) = (number(tailnet.first), number(tailnet.last));
            for block in blocks.into_iter().filter(|block| tailnet.touches(block)) {
                if number(block.first) > open {
                    return false;
                }
                open = open.max(number(block.last).saturating_add(1));
            }
            open > last
        })
    }

    fn touches(&self, other: &Block) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Whether a node of a tailnet may have an address in it.
    pub(super) fn touches_tailnet(&self) -> bool {
        TAILNET.iter().any(|tailnet| tailnet.touches(self))
    }
}

pub(super) fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}
