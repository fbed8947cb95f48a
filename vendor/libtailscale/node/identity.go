package node

import (
	"net/netip"
	"strings"
	"time"

	"tailscale.com/ipn/ipnlocal"
	"tailscale.com/tailcfg"
	"tailscale.com/types/views"
)

// Identity is the tailnet's identity of a peer. A tagged device has tags and no user;
// any other device has a user and no tags.
type Identity struct {
	Node     string   `json:"node"`      // MagicDNS name without the final dot
	StableID string   `json:"stable_id"` // stable across new names and new keys
	User     string   `json:"user,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	OS       string   `json:"os,omitempty"`
}

// identify returns the identity of the peer at a tailnet address. It uses the netmap in
// memory. It fails if no visible peer has the address, or if the peer's key has expired.
func (n *Node) identify(addr netip.AddrPort) (*Identity, error) {
	backend, err := n.backend()
	if err != nil {
		return nil, err
	}
	node, user, ok := backend.WhoIs("tcp", addr)
	if !ok {
		// WhoIs needs the profile of the owner, which control servers other than
		// Tailscale's omit for tagged nodes.
		if node, ok = nodeAt(backend, addr.Addr()); !ok {
			return nil, errf(KindOther, "identify peer: no node of the tailnet has the address (address=%v)", addr.Addr())
		}
	}
	if isPast(node.KeyExpiry(), backend.ControlNow(time.Now())) {
		return nil, errf(KindOther, "identify peer: its node key has expired (address=%v)", addr.Addr())
	}
	return identityOf(node, user, addr.Addr())
}

// nodeAt returns the node that has an address of its own, not a route to it.
func nodeAt(backend *ipnlocal.LocalBackend, ip netip.Addr) (node tailcfg.NodeView, ok bool) {
	found, ok := backend.PeerForIP(ip)
	if !ok || !views.SliceContains(found.Node.Addresses(), netip.PrefixFrom(ip, ip.BitLen())) {
		return node, false
	}
	return found.Node, true
}

// errNoOwner is the error for a node that has neither an owner nor tags.
type errNoOwner struct{ ip netip.Addr }

func (e errNoOwner) Error() string {
	return "the node at " + e.ip.String() + " has neither an owner nor tags"
}

func identityOf(node tailcfg.NodeView, user tailcfg.UserProfile, ip netip.Addr) (*Identity, error) {
	if node.StableID() == "" {
		return nil, errf(KindOther, "identify peer: its node has no stable id (address=%v)", ip)
	}
	id := &Identity{
		Node:     strings.TrimSuffix(node.Name(), "."),
		StableID: string(node.StableID()),
	}
	if host := node.Hostinfo(); host.Valid() {
		id.OS = host.OS()
	}
	switch {
	case node.Tags().Len() > 0:
		id.Tags = node.Tags().AsSlice()
	case user.LoginName != "":
		id.User = user.LoginName
	default:
		return nil, errNoOwner{ip}
	}
	return id, nil
}

// isPast reports whether a key with this expiry has expired; never with the zero time.
func isPast(expiry, now time.Time) bool { return !expiry.IsZero() && !expiry.After(now) }
