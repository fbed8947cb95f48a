package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"tailscale.com/tailcfg"
)

// Compile returns the packet filter of node dst: what other nodes may send to it. It
// contains no node without access.
func (p *Policy) Compile(dst Node, nodes []Node) []tailcfg.FilterRule {
	var out []tailcfg.FilterRule
	for _, r := range p.rules {
		for _, peers := range r.sources(dst, nodes) {
			out = append(out, r.filter(peers)...)
		}
	}
	return out
}

// peers are sources that reach the same destination addresses.
type peers struct {
	src []string
	dst []netip.Addr
}

// sources groups the nodes to which the rule applies by the addresses that they reach:
// with autogroup:self, or an address as dst, these differ.
func (r rule) sources(dst Node, nodes []Node) (out []peers) {
	for _, src := range nodes {
		if src.ID == dst.ID {
			continue
		}
		from := addressesOf(r.src, src, dst)
		to := addressesOf(r.dst, dst, src)
		if len(from) == 0 || len(to) == 0 {
			continue
		}
		i := slices.IndexFunc(out, func(p peers) bool { return slices.Equal(p.dst, to) })
		if i < 0 {
			i, out = len(out), append(out, peers{dst: to})
		}
		for _, ip := range from {
			out[i].src = append(out[i].src, ip.String())
		}
	}
	if has(r.src, "*") && !has(r.dst, "autogroup:self") {
		for i := range out {
			out[i].src = append(out[i].src, anywhere...)
		}
	}
	return out
}

// anywhere is Tailscale's expansion of "*": the address ranges of tailnets, which include
// future devices. The range between the first two belongs to ChromeOS.
var anywhere = []string{"100.64.0.0-100.115.91.255", "100.115.94.0-100.127.255.255", "fd7a:115c:a1e0::/48"}

func has(selectors []selector, text string) bool {
	return slices.ContainsFunc(selectors, func(s selector) bool { return s.text == text })
}

// filter returns the packet filter rules for these peers.
func (r rule) filter(peers peers) (out []tailcfg.FilterRule) {
	for _, t := range r.ip {
		f := tailcfg.FilterRule{SrcIPs: peers.src, IPProto: t.protos}
		for _, ip := range peers.dst {
			f.DstPorts = append(f.DstPorts, tailcfg.NetPortRange{IP: ip.String(), Ports: t.ports})
		}
		out = append(out, f)
	}
	if len(r.app) > 0 {
		grant := tailcfg.CapGrant{CapMap: r.app}
		for _, ip := range peers.dst {
			grant.Dsts = append(grant.Dsts, netip.PrefixFrom(ip, ip.BitLen()))
		}
		out = append(out, tailcfg.FilterRule{SrcIPs: peers.src, CapGrant: []tailcfg.CapGrant{grant}})
	}
	return out
}

// String is for the messages of failed tests.
func (n Node) String() string {
	if n.User != "" {
		return n.User
	}
	return fmt.Sprint(n.Tags)
}
