package node

import (
	"net/netip"

	"tailscale.com/tailcfg"
	"tailscale.com/wgengine/filter"
)

// Capabilities are app capabilities: names and values as in the "app" fields of the
// tailnet policy.
type Capabilities = tailcfg.PeerCapMap

// CheckAccess reports whether the current tailnet policy lets src connect to dst over
// TCP.
func (n *Node) CheckAccess(src netip.Addr, dst netip.AddrPort) (bool, error) {
	current, err := n.filter()
	if err != nil || current == nil {
		return false, err
	}
	return current.CheckTCP(src, dst.Addr(), dst.Port()) == filter.Accept, nil
}

// Capabilities returns the app capabilities that the current tailnet policy grants to
// src at dst. They do not depend on the port.
func (n *Node) Capabilities(src netip.Addr, dst netip.AddrPort) (Capabilities, error) {
	current, err := n.filter()
	caps := Capabilities{}
	if err == nil && current != nil {
		for name, values := range current.CapsWithValues(src, dst.Addr()) {
			caps[name] = append([]tailcfg.RawMessage{}, values...) // JSON [], never null
		}
	}
	return caps, err
}

// filter returns the current packet filter; nil before the first netmap.
func (n *Node) filter() (*filter.Filter, error) {
	server, err := n.running()
	if err != nil {
		return nil, err
	}
	return server.Sys().Engine.Get().GetFilter(), nil
}
