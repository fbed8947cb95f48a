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

// taggedDevices is the nominal owner of tagged devices.
const taggedDevices tailcfg.UserID = 1

// userKeyLife is the validity of a user's node key, Tailscale's default.
const userKeyLife = 180 * 24 * time.Hour

// node is a device of the tailnet.
type node struct {
	tailcfg.Node        // the part that is the same for all recipients
	user         string // login name; "" with tags
	ephemeral    bool   // removed when it logs out
	exempt       bool   // Settings.RequireLogging does not apply
	removed      bool
	expire       *time.Timer // notifies all nodes when the key expires
	stream       *stream     // nil while it is offline
	lastSeen     time.Time

	services     []*tailcfg.VIPService // that it hosts, from its last answer
	servicesHash string                // of the Services that it hosts
	ask          bool                  // ask it for its Services
}

func (n *node) wake() {
	if n.stream != nil {
		n.stream.poke()
	}
}

func (n *node) expired(now time.Time) bool {
	return n.removed || !n.KeyExpiry.IsZero() && !n.KeyExpiry.After(now)
}

// label returns the first label of the MagicDNS name, which names the node in the API.
func (n *node) label() string {
	label, _, _ := strings.Cut(n.Name, ".")
	return label
}

// identity returns the node for the policy.
func (n *node) identity() policy.Node {
	id := policy.Node{ID: string(n.StableID), User: n.user, Tags: n.Tags}
	for _, a := range n.Addresses {
		id.Addresses = append(id.Addresses, a.Addr())
	}
	return id
}

// add makes a node. IDs and addresses are never reused.
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

// freeLabel returns an unused name, as MagicDNS does: laptop, laptop-1, laptop-2.
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

// named returns the node with a label, MagicDNS name or stable ID, or nil.
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

// setExpiry sets when the key of n expires; the zero time means never.
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

// remove removes n from the tailnet. It keeps the key, so that the node is notified when
// it next connects.
func (s *Server) remove(n *node) {
	s.setExpiry(n, time.Time{})
	n.removed = true
	s.gone[n.Key] = n
	s.nodes = slices.DeleteFunc(s.nodes, func(other *node) bool { return other == n })
	n.wake()
	s.changed()
}

// forget removes n from the tailnet without notifying it.
func (s *Server) forget(n *node) {
	s.setExpiry(n, time.Time{})
	s.nodes = slices.DeleteFunc(s.nodes, func(other *node) bool { return other == n })
	s.changed()
}

// user returns the profile of a login name, and makes it if necessary.
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
