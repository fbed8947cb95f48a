package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
)

// A selector is one entry of src or dst, such as "tag:ai-server", resolved with the
// definitions of its policy.
type selector struct {
	text string
	// names reports whether the selector matches node n in a rule whose other side is the
	// node other. It is nil for a selector of addresses.
	names func(n, other Node) bool
	// within contains the matching addresses. It is invalid for a selector of nodes.
	within netipx.IPRange
	// users marks a selector of users, which may be combined with autogroup:self.
	users bool
}

// anySource is "*" in src: the tailnet. It also means approved subnets, which do not exist here.
var anySource = selector{text: "*"}

// anyDestination is "*" in dst: every address.
var anyDestination = selector{text: "*", names: func(Node, Node) bool { return true }}

// addressesOf returns the addresses of n that match a selector.
func addressesOf(selectors []selector, n, other Node) (out []netip.Addr) {
	for _, ip := range n.Addresses {
		if slices.ContainsFunc(selectors, func(s selector) bool { return s.has(ip, n, other) }) {
			out = append(out, ip)
		}
	}
	return out
}

func (s selector) has(ip netip.Addr, n, other Node) bool {
	if s.names != nil {
		return s.names(n, other)
	}
	if s.text == anySource.text {
		return tsaddr.IsTailscaleIP(ip)
	}
	return s.within.Contains(ip)
}

// byUser returns a predicate for devices of users; tagged devices have none.
func byUser(ok func(user string) bool) func(n, other Node) bool {
	return func(n, _ Node) bool { return len(n.Tags) == 0 && n.User != "" && ok(n.User) }
}

// containsFold reports whether names contains user, ignoring case.
func containsFold(names []string, user string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, user) })
}

// selector resolves text. An entry without a meaning in this policy is an error: it is
// nearly always a typo, and a rule that never applies would go unnoticed.
func (p *Policy) selector(text string) (selector, error) {
	s := selector{text: text}
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case text == anySource.text:
		return anySource, nil
	case kind == "tag":
		if !p.HasTag(text) {
			return s, fmt.Errorf("%q is not defined in tagOwners", text)
		}
		s.names = func(n, _ Node) bool { return slices.Contains(n.Tags, text) }
	case kind == "svc":
		if err := tailcfg.ServiceName(text).Validate(); err != nil {
			return s, err
		}
		s.names = func(n, _ Node) bool { return n.Service == text }
	case kind == "group":
		members, ok := p.groups[text]
		if !ok {
			return s, fmt.Errorf("%q is not defined in groups", text)
		}
		s.users, s.names = true, byUser(func(user string) bool { return containsFold(members, user) })
	case kind == "autogroup":
		return p.autogroup(s, name)
	case kind == "user" && strings.HasPrefix(name, "*@"):
		domain := strings.ToLower(name[1:])
		s.users, s.names = true, byUser(func(user string) bool { return strings.HasSuffix(strings.ToLower(user), domain) })
	case strings.Contains(text, "@"):
		s.users, s.names = true, byUser(func(user string) bool { return strings.EqualFold(user, text) })
	default:
		return p.addressSelector(s)
	}
	return s, nil
}

func (p *Policy) autogroup(s selector, name string) (selector, error) {
	switch name {
	case "member", "members": // the second is the older name
		s.users, s.names = true, byUser(func(string) bool { return true })
	case "danger-all":
		s.names = func(Node, Node) bool { return true }
	case "tagged":
		s.names = func(n, _ Node) bool { return len(n.Tags) > 0 }
	case "admin", "owner":
		s.users, s.names = true, byUser(func(user string) bool { return containsFold(p.admins, user) })
	case "self":
		s.names = func(n, other Node) bool {
			return len(n.Tags) == 0 && len(other.Tags) == 0 && n.User != "" && strings.EqualFold(n.User, other.User)
		}
	case "it-admin", "network-admin", "billing-admin", "auditor":
		s.users, s.names = true, func(Node, Node) bool { return false } // none exists here
	case "internet", "shared":
		s.names = func(Node, Node) bool { return false } // none exists here
	default:
		return s, fmt.Errorf("%q is no known autogroup", s.text)
	}
	return s, nil
}

func (p *Policy) addressSelector(s selector) (selector, error) {
	if prefix, ok := p.hosts[s.text]; ok {
		s.within = netipx.RangeOfPrefix(prefix)
		return s, nil
	}
	if prefix, err := parsePrefix(s.text); err == nil {
		s.within = netipx.RangeOfPrefix(prefix)
		return s, nil
	}
	if r, err := netipx.ParseIPRange(s.text); err == nil {
		s.within = r
		return s, nil
	}
	return s, fmt.Errorf("%q is no user, group, tag, autogroup, host, address, CIDR or address range", s.text)
}

// parsePrefix reads an address or a CIDR.
func parsePrefix(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}
