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
	ahead  time.Duration // what is wrong with the clock
}

// view draws the tailnet for n. The caller holds s.mu.
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
		if other == n || !other.MachineAuthorized || !s.policy.Sees(me, id) && !s.meet(n, other) {
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

// without leaves the peer with this address out.
func (v view) without(ip netip.Addr) view {
	v.peers = slices.DeleteFunc(v.peers, func(p *tailcfg.Node) bool {
		return slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Addr() == ip })
	})
	return v
}

func (s *Server) self(n *node, now time.Time) *tailcfg.Node {
	self := n.Clone()
	// Its own timer would tell the node as well, but some 10 s late.
	self.Expired = n.expired(now)
	if n.removed {
		self.KeyExpiry = n.Created // long ago: this is how a node learns that it is out
	}
	self.CapMap = tailcfg.NodeCapMap{
		// Nothing outside loopback is to be asked anything.
		tailcfg.NodeAttrDisableUPnP:                   nil,
		tailcfg.NodeAttrDisableCaptivePortalDetection: nil,
		tailcfg.CapabilityHTTPS:                       nil,
	}
	if s.settings.RequireLogging && !n.exempt {
		// The one capability that a node refuses when it uploads no logs.
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

// peer is a node as the others are told of it.
func peer(n *node, now time.Time) *tailcfg.Node {
	p := n.Node.Clone()
	online := n.stream != nil
	p.Online = &online
	if !online && !n.lastSeen.IsZero() {
		seen := n.lastSeen
		p.LastSeen = &seen
	}
	if n.expired(now) {
		// Its key is spoilt too: a peer that keeps the old one would go on
		// exchanging packets under it.
		p.Expired, p.Endpoints, p.HomeDERP = true, nil, 0
		p.Key = key.NodePublicWithBadOldPrefix(n.Key)
	}
	return p
}

// told is what a stream has told its node, piece by piece, as JSON.
type told struct {
	started             bool
	self, users, filter string
	dns                 string
	ahead               time.Duration
	peers               map[tailcfg.NodeID]string
}

// difference returns what has to be said for the node to see v; nil if nothing.
func (t *told) difference(v view) *tailcfg.MapResponse {
	res := &tailcfg.MapResponse{}
	first := !t.started
	any := first
	if first {
		t.started = true
		t.peers = map[tailcfg.NodeID]string{}
		res.DERPMap, res.Domain, res.CollectServices = v.derp, Domain, "false"
	}
	if tell(&t.dns, v.dns) {
		res.DNSConfig, any = v.dns, true
	}
	if tell(&t.self, v.self) {
		res.Node, any = v.self, true
	}
	if tell(&t.users, v.users) {
		res.UserProfiles, any = v.users, true
	}
	if tell(&t.filter, v.filter) {
		res.PacketFilters = map[string][]tailcfg.FilterRule{"*": nil, "policy": v.filter}
		any = true
	}
	present := map[tailcfg.NodeID]bool{}
	for _, p := range v.peers {
		present[p.ID] = true
		before := t.peers[p.ID]
		if tell(&before, p) {
			t.peers[p.ID] = before
			res.PeersChanged, any = append(res.PeersChanged, p), true
		}
	}
	for id := range t.peers {
		if !present[id] {
			delete(t.peers, id)
			res.PeersRemoved, any = append(res.PeersRemoved, id), true
		}
	}
	slices.Sort(res.PeersRemoved)
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

// tell reports whether v differs from what was told, and notes it.
func tell(before *string, v any) bool {
	b, err := json.Marshal(v)
	if err != nil || string(b) == *before {
		return false
	}
	*before = string(b)
	return true
}
