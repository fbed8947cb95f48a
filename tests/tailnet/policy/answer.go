package policy

import (
	"net/netip"

	"tailscale.com/tailcfg"
	"tailscale.com/types/ipproto"
	"tailscale.com/types/logger"
	"tailscale.com/wgengine/filter"
)

// Admits reports whether src may send packets of one of the protocols to a port of dst,
// at any pair of addresses of one family. It uses tailscale's packet filter with the
// rules of dst.
func (p *Policy) Admits(src, dst Node, protos []int, port uint16) (bool, error) {
	rules := p.Compile(dst, []Node{src, dst})
	return anyPair(src, dst, func(from, to netip.Addr) (bool, error) {
		for _, proto := range protos {
			if ok, err := admits(rules, from, to, port, ipproto.Proto(proto)); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	})
}

// Capabilities returns the values of a capability of src at dst, between their first
// addresses.
func (p *Policy) Capabilities(src, dst Node, name tailcfg.PeerCapability) ([]tailcfg.RawMessage, error) {
	matches, err := filter.MatchesFromFilterRules(p.Compile(dst, []Node{src, dst}))
	if err != nil {
		return nil, err
	}
	f := filter.New(matches, nil, nil, nil, nil, logger.Discard)
	return f.CapsWithValues(src.Addresses[0], dst.Addresses[0])[name], nil
}

func anyPair(src, dst Node, is func(from, to netip.Addr) (bool, error)) (bool, error) {
	for _, from := range src.Addresses {
		for _, to := range dst.Addresses {
			if from.Is4() != to.Is4() {
				continue
			}
			if ok, err := is(from, to); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}
