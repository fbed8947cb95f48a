// Package policy reads a tailnet policy file and says what it lets through.
//
// It is pure: no clock, no network, no files. Nodes are given to it, so that it
// answers for nodes that exist (the control server compiles their packet
// filters) and for nodes that do not (the policy's own tests).
//
// The language is Tailscale's, as documented under
// https://tailscale.com/docs/reference/syntax/policy-file: groups, hosts,
// tagOwners, grants, acls and tests. Other sections of Tailscale's are accepted
// and have no effect. What would silently let in more here than in a real
// tailnet (posture conditions, for one) is refused.
package policy

import (
	"net/netip"
	"slices"

	"tailscale.com/tailcfg"
)

// A Node is one device of the tailnet as the policy sees it. It has either
// tags or a user.
type Node struct {
	ID        string // tells nodes apart
	User      string // login name; "" for a tagged device
	Tags      []string
	Service   string // "svc:name": it is no device, but a Service
	Addresses []netip.Addr
}

// A Policy is a policy file that was understood and whose tests pass.
type Policy struct {
	groups    map[string][]string
	hosts     map[string]netip.Prefix
	tagOwners map[string][]selector
	admins    []string
	hosting   map[string][]selector // who may host a Service, by its name
	rules     []rule
	tests     []test
}

// rule is one grant, or one destination of an acl: they mean the same.
type rule struct {
	src, dst []selector
	ip       []traffic
	app      tailcfg.PeerCapMap
}

// HasTag reports whether the policy defines tag ("tag:name").
func (p *Policy) HasTag(tag string) bool {
	_, ok := p.tagOwners[tag]
	return ok
}

// MayTag reports whether tagOwners lets user put tag on a device. As with
// Tailscale, an admin may put any tag that is defined.
func (p *Policy) MayTag(user, tag string) bool {
	owners, ok := p.tagOwners[tag]
	if !ok {
		return false
	}
	n := Node{ID: user, User: user}
	return containsFold(p.admins, user) ||
		slices.ContainsFunc(owners, func(s selector) bool { return s.names(n, n) })
}

// MayHost reports whether autoApprovers lets a device, which has to have tags,
// host a Service.
func (p *Policy) MayHost(n Node, service string) bool {
	return len(n.Tags) > 0 && slices.ContainsFunc(p.hosting[service], func(s selector) bool { return s.names(n, n) })
}

// Sees reports whether a and b may know of each other: whether any rule lets
// either reach the other.
func (p *Policy) Sees(a, b Node) bool {
	return p.Reaches(a, b) || p.Reaches(b, a)
}

// Reaches reports whether any rule lets src reach dst in some way.
func (p *Policy) Reaches(src, dst Node) bool {
	return slices.ContainsFunc(p.rules, func(r rule) bool { return r.applies(src, dst) })
}

// applies reports whether the rule lets src reach dst in some way.
func (r rule) applies(src, dst Node) bool {
	return len(addressesOf(r.src, src, dst)) > 0 && len(addressesOf(r.dst, dst, src)) > 0
}
