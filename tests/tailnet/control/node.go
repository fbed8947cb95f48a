package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"remote-ollama-proxy/tests/tailnet/policy"
	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/dnsname"
)

// taggedDevices owns, in name, every device that has tags.
const taggedDevices tailcfg.UserID = 1

// userKeyLife is how long a user's device stays logged in; Tailscale's default.
const userKeyLife = 180 * 24 * time.Hour

// node is what the server knows of a device.
type node struct {
	tailcfg.Node        // without what depends on who is told of it
	user         string // login name; "" with tags
	ephemeral    bool   // forgotten when it logs out
	exempt       bool   // not told of require_logging
	removed      bool
	expire       *time.Timer // tells the others when the key expires
	stream       *stream     // nil while it is offline
	lastSeen     time.Time

	services     []*tailcfg.VIPService // that it hosts, as it said last
	servicesHash string                // of what it hosts
	asking       bool                  // it is to be asked
}

func (n *node) wake() {
	if n.stream != nil {
		n.stream.poke()
	}
}

func (n *node) expired(now time.Time) bool {
	return n.removed || !n.KeyExpiry.IsZero() && !n.KeyExpiry.After(now)
}

// label is the first label of the MagicDNS name, by which the API names nodes.
func (n *node) label() string {
	label, _, _ := strings.Cut(n.Name, ".")
	return label
}

// identity is the node as the policy sees it.
func (n *node) identity() policy.Node {
	id := policy.Node{ID: string(n.StableID), User: n.user, Tags: n.Tags}
	for _, a := range n.Addresses {
		id.Addresses = append(id.Addresses, a.Addr())
	}
	return id
}

// add makes a node. IDs and addresses are never given out twice.
func (s *Server) add(machine key.MachinePublic, hostname string) *node {
	s.lastID++
	id := s.lastID
	v4 := netip.AddrFrom4([4]byte{100, 64, byte(id >> 8), byte(id)})
	addresses := []netip.Prefix{netip.PrefixFrom(v4, 32), netip.PrefixFrom(tsaddr.Tailscale4To6(v4), 128)}
	if s.settings.NoIPv4 {
		addresses = addresses[1:]
	}
	n := &node{Node: tailcfg.Node{
		ID: id, StableID: tailcfg.StableNodeID(fmt.Sprintf("n%dTEST", id)),
		Name: s.freeLabel(hostname) + "." + Domain + ".", Machine: machine,
		Addresses: addresses, AllowedIPs: addresses, Created: time.Now().UTC(),
	}}
	s.nodes = append(s.nodes, n)
	return n
}

// freeLabel finds a name as MagicDNS does: laptop, laptop-1, laptop-2.
func (s *Server) freeLabel(hostname string) string {
	base := dnsname.SanitizeHostname(hostname)
	if base == "" {
		base = "node"
	}
	label := base
	for i := 1; s.named(label) != nil; i++ {
		label = fmt.Sprintf("%s-%d", base, i)
	}
	return label
}

// named finds a node by its label, MagicDNS name or stable ID; nil if none.
func (s *Server) named(name string) *node {
	name = strings.TrimSuffix(strings.TrimSuffix(name, "."), "."+Domain)
	return s.find(func(n *node) bool { return n.label() == name || string(n.StableID) == name })
}

func (s *Server) find(is func(*node) bool) *node {
	if i := slices.IndexFunc(s.nodes, is); i >= 0 {
		return s.nodes[i]
	}
	return nil
}

// setExpiry changes when the key of n expires; the zero time is never.
func (s *Server) setExpiry(n *node, at time.Time) {
	if n.expire != nil {
		n.expire.Stop()
		n.expire = nil
	}
	n.KeyExpiry = at
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		n.expire = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed()
		})
	}
}

// remove takes n out of the tailnet. Its key is remembered, so that the node
// learns of it whenever it next asks.
func (s *Server) remove(n *node) {
	s.setExpiry(n, time.Time{})
	n.removed = true
	s.gone[n.Key] = n
	s.nodes = slices.DeleteFunc(s.nodes, func(other *node) bool { return other == n })
	n.wake()
	s.changed()
}

// forget takes n out of the tailnet without a word to it.
func (s *Server) forget(n *node) {
	s.setExpiry(n, time.Time{})
	s.nodes = slices.DeleteFunc(s.nodes, func(other *node) bool { return other == n })
	s.changed()
}

// user returns the profile of a login name; it makes one at first sight.
func (s *Server) user(login string) tailcfg.UserProfile {
	for _, u := range s.users {
		if u.LoginName == login {
			return u
		}
	}
	name, _, _ := strings.Cut(login, "@")
	u := tailcfg.UserProfile{ID: taggedDevices + tailcfg.UserID(len(s.users)), LoginName: login, DisplayName: name}
	s.users = append(s.users, u)
	return u
}
