package policy

import (
	"net/netip"

	"tailscale.com/tailcfg"
	"tailscale.com/types/ipproto"
	"tailscale.com/types/logger"
	"tailscale.com/wgengine/filter"
)

// Admits reports whether src may send packets of proto to a port of dst, at any
// address that both have of one family.
func (p *Policy) Admits(src, dst Node, proto ipproto.Proto, port uint16) (bool, error) {
	rules := p.Compile(dst, []Node{src, dst})
	return anyPair(src, dst, func(from, to netip.Addr) (bool, error) { return admits(rules, from, to, port, proto) })
}

// Capabilities returns the values that src has at dst under a capability's
// name, as dst would be told when it asks about a connection.
func (p *Policy) Capabilities(src, dst Node, name tailcfg.PeerCapability) (values []tailcfg.RawMessage, err error) {
	matches, err := filter.MatchesFromFilterRules(p.Compile(dst, []Node{src, dst}))
	if err != nil {
		return nil, err
	}
	f := filter.New(matches, nil, nil, nil, nil, logger.Discard)
	_, err = anyPair(src, dst, func(from, to netip.Addr) (bool, error) {
		values = f.CapsWithValues(from, to)[name]
		return len(values) > 0, nil
	})
	return values, err
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
