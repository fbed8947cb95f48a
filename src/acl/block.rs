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

const fn v4(first: [u8; 4], last: [u8; 4]) -> Block {
    let [a, b, c, d] = first;
    let [e, f, g, h] = last;
    Block { first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), last: IpAddr::V4(Ipv4Addr::new(e, f, g, h)) }
}

/// Addresses under `fd7a:115c:a1e0::/48`, by the last five groups.
const fn v6(first: [u16; 5], last: [u16; 5]) -> Block {
    const fn under([a, b, c, d, e]: [u16; 5]) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, a, b, c, d, e))
    }
    Block { first: under(first), last: under(last) }
}

const MOST: u16 = u16::MAX;

/// What `*` as a source means, approved subnets aside.
/// Source: the packet filters that Tailscale sends; 100.115.92.0/23 is ChromeOS's (`ChromeOSVMRange` in
/// Tailscale's package tsaddr).
const TAILNET: [Block; 3] = [
    v4([100, 64, 0, 0], [100, 115, 91, 255]),
    v4([100, 115, 94, 0], [100, 127, 255, 255]),
    v6([0; 5], [MOST; 5]),
];

/// Where the addresses of nodes are from: the same without the addresses of MagicDNS (100.100.100.100 and
/// `fd7a:115c:a1e0::53`), and without those for IPv4 subnets of the same range (4via6).
/// Source: package tsaddr, `TailscaleServiceIP`, `TailscaleServiceIPv6` and `TailscaleViaRange`.
const NODES: [Block; 6] = [
    v4([100, 64, 0, 0], [100, 100, 100, 99]),
    v4([100, 100, 100, 101], [100, 115, 91, 255]),
    v4([100, 115, 94, 0], [100, 127, 255, 255]),
    v6([0; 5], [0, 0, 0, 0, 0x52]),
    v6([0, 0, 0, 0, 0x54], [0xb19, MOST, MOST, MOST, MOST]),
    v6([0xb1b, 0, 0, 0, 0], [MOST; 5]),
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

    /// What is left of blocks without others.
    pub(super) fn left(blocks: &[Block], others: &[Block]) -> Vec<Block> {
        let without = |left: Vec<Block>, other| left.iter().flat_map(|block| block.without(other)).collect();
        others.iter().fold(blocks.to_vec(), without)
    }

    /// The parts before and after `other`.
    fn without(&self, other: &Block) -> Vec<Block> {
        if !self.touches(other) {
            return vec![*self];
        }
        let before = (self.first < other.first).then(|| Block { last: step(other.first, -1), ..*self });
        let after = (other.last < self.last).then(|| Block { first: step(other.last, 1), ..*self });
        before.into_iter().chain(after).collect()
    }

    /// Whether it is every address of its family.
    pub(super) fn is_everything(&self) -> bool {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                (first, last) == (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST)
            }
            (first, last) => number(first) == 0 && number(last) == u128::MAX,
        }
    }

    /// Whether every node of a tailnet has an address in one of them.
    pub(super) fn cover_tailnet(blocks: &[Block]) -> bool {
        let covered = |nodes: &Block| {
            let mut blocks: Vec<_> = blocks.iter().filter(|block| nodes.touches(block)).collect();
            blocks.sort_by_key(|block| block.first);
            let (mut open, last) = (number(nodes.first), number(nodes.last));
            for block in blocks {
                if number(block.first) > open {
                    return false;
                }
                open = open.max(number(block.last).saturating_add(1));
            }
            open > last
        };
        let of = |family| NODES.iter().filter(move |nodes| nodes.family() == family);
        of(Family::V4).all(covered) || of(Family::V6).all(covered)
    }

    fn touches(&self, other: &Block) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Whether a node of a tailnet may have an address in it.
    pub(super) fn touches_tailnet(&self) -> bool {
        NODES.iter().any(|nodes| nodes.touches(self))
    }
}

/// Whether `*` as a source means an address, whatever subnets are approved.
pub(super) fn is_in_tailnet(address: IpAddr) -> bool {
    TAILNET.iter().any(|block| block.contains(address))
}

pub(super) fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// The address that many further on.
fn step(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address).wrapping_add_signed(by.into())).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address).wrapping_add_signed(by.into())).into(),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}
