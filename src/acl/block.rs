//! Blocks of addresses: single ones, CIDRs and ranges.
//!
//! By hand, because `ipnet` has no ranges such as `first-last`, and accepts spellings that Tailscale refuses, such as
//! `010.0.0.0/8` and `10.0.0.0/08`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses from `first` to `last`, which are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    first: IpAddr,
    last: IpAddr,
}

/// A version of IP. Both ends of a packet have the same.
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

const MAX: u16 = u16::MAX;

/// The addresses that `*` as a source means, without approved subnets.
/// Source: the packet filters that Tailscale sends; 100.115.92.0/23 is ChromeOS's (`ChromeOSVMRange` in
/// Tailscale's package tsaddr).
const TAILNET: [Block; 3] = [
    v4([100, 64, 0, 0], [100, 115, 91, 255]),
    v4([100, 115, 94, 0], [100, 127, 255, 255]),
    v6([0; 5], [MAX; 5]),
];

/// The addresses that nodes can have: the same without those of MagicDNS (100.100.100.100 and
/// `fd7a:115c:a1e0::53`), and without those for IPv4 subnets of the same range (4via6).
/// Source: package tsaddr, `TailscaleServiceIP`, `TailscaleServiceIPv6` and `TailscaleViaRange`.
const NODES: [Block; 6] = [
    v4([100, 64, 0, 0], [100, 100, 100, 99]),
    v4([100, 100, 100, 101], [100, 115, 91, 255]),
    v4([100, 115, 94, 0], [100, 127, 255, 255]),
    v6([0; 5], [0, 0, 0, 0, 0x52]),
    v6([0, 0, 0, 0, 0x54], [0xb19, MAX, MAX, MAX, MAX]),
    v6([0xb1b, 0, 0, 0, 0], [MAX; 5]),
];

impl Block {
    pub(super) fn single(address: IpAddr) -> Block {
        Block { first: address, last: address }
    }

    /// Parses an address or a CIDR.
    pub(super) fn parse_cidr(text: &str) -> Option<Block> {
        if let Ok(address) = text.parse() {
            return Some(Block::single(address));
        }
        let (address, length) = text.split_once('/')?;
        Block::cidr(address.parse().ok()?, length)
    }

    /// Parses an address, a CIDR or a range such as `100.64.0.1-100.64.0.9`.
    pub(super) fn parse_range(text: &str) -> Option<Block> {
        let Some((first, last)) = text.split_once('-') else { return Block::parse_cidr(text) };
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

    /// The addresses that are in `blocks` and not in `others`.
    pub(super) fn difference(blocks: &[Block], others: &[Block]) -> Vec<Block> {
        let without = |left: Vec<Block>, other| left.iter().flat_map(|block| block.without(other)).collect();
        others.iter().fold(blocks.to_vec(), without)
    }

    /// The parts before and after `other`.
    fn without(&self, other: &Block) -> Vec<Block> {
        if !self.overlaps(other) {
            return vec![*self];
        }
        let before = (self.first < other.first).then(|| Block { last: offset(other.first, -1), ..*self });
        let after = (other.last < self.last).then(|| Block { first: offset(other.last, 1), ..*self });
        before.into_iter().chain(after).collect()
    }

    /// Whether the block has every address of its family.
    pub(super) fn is_everything(&self) -> bool {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                (first, last) == (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST)
            }
            (first, last) => number(first) == 0 && number(last) == u128::MAX,
        }
    }

    /// Whether every node of a tailnet has an address in one of the blocks.
    pub(super) fn cover_tailnet(blocks: &[Block]) -> bool {
        let is_covered = |nodes: &Block| {
            let mut blocks: Vec<_> = blocks.iter().filter(|block| nodes.overlaps(block)).collect();
            blocks.sort_by_key(|block| block.first);
            let (mut uncovered, last) = (number(nodes.first), number(nodes.last));
            for block in blocks {
                if number(block.first) > uncovered {
                    return false;
                }
                uncovered = uncovered.max(number(block.last).saturating_add(1));
            }
            uncovered > last
        };
        let of = |family| NODES.iter().filter(move |nodes| nodes.family() == family);
        of(Family::V4).all(is_covered) || of(Family::V6).all(is_covered)
    }

    fn overlaps(&self, other: &Block) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Whether a node of a tailnet can have an address in the block.
    pub(super) fn overlaps_tailnet(&self) -> bool {
        NODES.iter().any(|nodes| nodes.overlaps(self))
    }
}

/// Whether `*` as a source means an address, with any approved subnets.
pub(super) fn is_in_tailnet(address: IpAddr) -> bool {
    TAILNET.iter().any(|block| block.contains(address))
}

pub(super) fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// The address `by` further on.
fn offset(address: IpAddr, by: i8) -> IpAddr {
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
