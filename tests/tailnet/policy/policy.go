// Package policy parses and evaluates a tailnet policy file.
//
// It is pure: no clock, no network, no files. It evaluates the nodes that it is given:
// existing ones, for which the control server compiles packet filters, and those of the
// policy's own tests.
//
// The language is Tailscale's, as documented under
// https://tailscale.com/docs/reference/syntax/policy-file: groups, hosts,
// tagOwners, grants, acls and tests. Other sections of Tailscale's are accepted and have
// no effect. Anything that would allow more here than in a real tailnet, such as a posture
// condition, is rejected.
package policy

import (
	"net/netip"
	"slices"

	"tailscale.com/tailcfg"
)

// A Node is one device of the tailnet. It has either tags or a user.
type Node struct {
	ID        string // unique
	User      string // login name; "" for a tagged device
	Tags      []string
	Service   string // "svc:name" for a Service, which is no device
	Addresses []netip.Addr
}

// A Policy is a valid policy file whose tests pass.
type Policy struct {
	groups    map[string][]string
	hosts     map[string]netip.Prefix
	tagOwners map[string][]selector
	admins    []string
	hosting   map[string][]selector // who may host a Service, by its name
	rules     []rule
	tests     []test
}

// rule is one grant, or one destination of an acl, which is equivalent.
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

// MayTag reports whether tagOwners allows user to tag a device. As in Tailscale, an admin
// may use any defined tag.
func (p *Policy) MayTag(user, tag string) bool {
	owners, ok := p.tagOwners[tag]
	if !ok {
		return false
	}
	n := Node{ID: user, User: user}
	return containsFold(p.admins, user) ||
		slices.ContainsFunc(owners, func(s selector) bool { return s.names(n, n) })
}

// MayHost reports whether autoApprovers allows a device to host a Service. The device must
// have tags.
func (p *Policy) MayHost(n Node, service string) bool {
	return len(n.Tags) > 0 && slices.ContainsFunc(p.hosting[service], func(s selector) bool { return s.names(n, n) })
}

// Sees reports whether a and b are visible to each other: whether a rule allows either to
// reach the other.
func (p *Policy) Sees(a, b Node) bool {
	return p.Reaches(a, b) || p.Reaches(b, a)
}

// Reaches reports whether a rule allows src to reach dst.
func (p *Policy) Reaches(src, dst Node) bool {
	return slices.ContainsFunc(p.rules, func(r rule) bool { return r.applies(src, dst) })
}

// applies reports whether the rule allows src to reach dst.
func (r rule) applies(src, dst Node) bool {
	return len(addressesOf(r.src, src, dst)) > 0 && len(addressesOf(r.dst, dst, src)) > 0
}
