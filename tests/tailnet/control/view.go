package control

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"remote-ollama-proxy/tests/tailnet/policy"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// view is the tailnet as one node may see it.
type view struct {
	self   *tailcfg.Node
	peers  []*tailcfg.Node // in order of ID
	users  []tailcfg.UserProfile
	filter []tailcfg.FilterRule
	derp   *tailcfg.DERPMap
	dns    *tailcfg.DNSConfig
	ahead  time.Duration // error of the clock
}

// view returns the tailnet for n. The caller holds s.mu.
func (s *Server) view(n *node, now time.Time) view {
	dns := &tailcfg.DNSConfig{Proxied: !s.settings.NoMagicDNS, Domains: []string{Domain}, CertDomains: s.certDomains(n)}
	v := view{self: s.self(n, now), derp: s.derpMap, dns: dns, users: slices.Clone(s.users), ahead: s.clockAhead}
	if s.settings.NoTagProfile {
		v.users = slices.DeleteFunc(v.users, func(u tailcfg.UserProfile) bool { return u.ID == taggedDevices })
	}
	if n.expired(now) || !n.MachineAuthorized {
		return v
	}
	var identities []policy.Node
	me := n.identity()
	for _, other := range s.nodes {
		id := other.identity()
		if other == n || !other.MachineAuthorized || !s.policy.Sees(me, id) && !s.shareService(n, other) {
			continue
		}
		p := peer(other, now)
		p.AllowedIPs = slices.Concat(p.AllowedIPs, s.routes(n, other))
		v.peers = append(v.peers, p)
		if !other.expired(now) {
			identities = append(identities, id)
		}
	}
	v.filter = s.policy.Compile(me, identities)
	for _, svc := range s.services {
		if s.approved(svc, n) {
			v.filter = append(v.filter, s.policy.Compile(svc.identity(), identities)...)
		}
	}
	return v
}

// without returns the view without the peer at this address.
func (v view) without(ip netip.Addr) view {
	v.peers = slices.DeleteFunc(v.peers, func(p *tailcfg.Node) bool {
		return slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Addr() == ip })
	})
	return v
}

func (s *Server) self(n *node, now time.Time) *tailcfg.Node {
	self := n.Clone()
	// The node's own timer would act some 10 s late.
	self.Expired = n.expired(now)
	if n.removed {
		self.KeyExpiry = n.Created // in the past, which logs the node out
	}
	self.CapMap = tailcfg.NodeCapMap{
		// The node must not contact anything outside loopback.
		tailcfg.NodeAttrDisableUPnP:                   nil,
		tailcfg.NodeAttrDisableCaptivePortalDetection: nil,
		tailcfg.CapabilityHTTPS:                       nil,
	}
	if s.settings.RequireLogging && !n.exempt {
		// A node that uploads no logs stops because of this capability.
		self.CapMap[tailcfg.CapabilityDataPlaneAuditLogs] = nil
	}
	if mappings := s.mappings(n); mappings != nil {
		self.CapMap[tailcfg.NodeAttrServiceHost] = mappings
	}
	if s.settings.CacheNetmaps {
		self.CapMap[tailcfg.NodeAttrCacheNetworkMaps] = nil
	}
	return self
}

// peer returns a node for the netmaps of others.
func peer(n *node, now time.Time) *tailcfg.Node {
	p := n.Node.Clone()
	online := n.stream != nil
	p.Online = &online
	if !online && !n.lastSeen.IsZero() {
		seen := n.lastSeen
		p.LastSeen = &seen
	}
	if n.expired(now) {
		// The key is replaced by an invalid one: with the old key, others would continue to
		// exchange packets.
		p.Expired, p.Endpoints, p.HomeDERP = true, nil, 0
		p.Key = key.NodePublicWithBadOldPrefix(n.Key)
	}
	return p
}

// sentState is what a stream has sent, as JSON.
type sentState struct {
	started             bool
	self, users, filter string
	dns                 string
	ahead               time.Duration
	peers               map[tailcfg.NodeID]string
}

// difference returns the message that changes the node's state to v; nil if nothing has
// changed.
func (t *sentState) difference(v view) *tailcfg.MapResponse {
	res := &tailcfg.MapResponse{}
	first := !t.started
	any := first
	if first {
		t.started = true
		t.peers = map[tailcfg.NodeID]string{}
		res.DERPMap, res.Domain, res.CollectServices = v.derp, Domain, "false"
	}
	if update(&t.dns, v.dns) {
		res.DNSConfig, any = v.dns, true
	}
	if update(&t.self, v.self) {
		res.Node, any = v.self, true
	}
	if update(&t.users, v.users) {
		res.UserProfiles, any = v.users, true
	}
	if update(&t.filter, v.filter) {
		res.PacketFilters = map[string][]tailcfg.FilterRule{"*": nil, "policy": v.filter}
		any = true
	}
	res.PeersChanged, res.PeersRemoved = t.peerDifference(v)
	any = any || len(res.PeersChanged) > 0 || len(res.PeersRemoved) > 0
	if first {
		res.Peers, res.PeersChanged = res.PeersChanged, nil
	}
	if v.ahead != t.ahead {
		t.ahead, any = v.ahead, true
	}
	if !any {
		return nil
	}
	now := time.Now().Add(v.ahead).UTC()
	res.ControlTime = &now // nodes measure expiry by this clock
	return res
}

// peerDifference returns the peers of v that are new or changed, and the IDs of those
// that are gone.
func (t *sentState) peerDifference(v view) (changed []*tailcfg.Node, removed []tailcfg.NodeID) {
	present := map[tailcfg.NodeID]bool{}
	for _, p := range v.peers {
		present[p.ID] = true
		before := t.peers[p.ID]
		if update(&before, p) {
			t.peers[p.ID] = before
			changed = append(changed, p)
		}
	}
	for id := range t.peers {
		if !present[id] {
			delete(t.peers, id)
			removed = append(removed, id)
		}
	}
	slices.Sort(removed)
	return changed, removed
}

// update replaces before with the JSON of v, and reports whether it has changed.
func update(before *string, v any) bool {
	b, err := json.Marshal(v)
	if err != nil || string(b) == *before {
		return false
	}
	*before = string(b)
	return true
}
