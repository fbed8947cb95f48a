package node

import (
	"net/netip"

	"tailscale.com/tailcfg"
	"tailscale.com/wgengine/filter"
)

// CheckAccess reports whether the tailnet policy, as it stands now, lets src
// connect to dst over TCP.
func (n *Node) CheckAccess(src netip.Addr, dst netip.AddrPort) (bool, error) {
	live, err := n.filter()
	if err != nil || live == nil {
		return false, err
	}
	return live.CheckTCP(src, dst.Addr(), dst.Port()) == filter.Accept, nil
}

// Capabilities returns the application capabilities that the tailnet policy, as
// it stands now, grants to src at dst: their names and values as they are
// written in the policy's "app" fields. They do not depend on the port.
func (n *Node) Capabilities(src netip.Addr, dst netip.AddrPort) (tailcfg.PeerCapMap, error) {
	live, err := n.filter()
	caps := tailcfg.PeerCapMap{}
	if err == nil && live != nil {
		for name, values := range live.CapsWithValues(src, dst.Addr()) {
			caps[name] = append([]tailcfg.RawMessage{}, values...) // JSON [], never null
		}
	}
	return caps, err
}

// filter returns the packet filter in force; nil before there is one.
func (n *Node) filter() (*filter.Filter, error) {
	server, err := n.running()
	if err != nil {
		return nil, err
	}
	return server.Sys().Engine.Get().GetFilter(), nil
}
