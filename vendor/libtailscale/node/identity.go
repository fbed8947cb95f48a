package node

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"tailscale.com/ipn/ipnlocal"
	"tailscale.com/tailcfg"
	"tailscale.com/types/views"
)

// MaxIdentity is the largest encoded Identity in bytes
// (TAILSCALE_IDENTITY_MAX). A peer beyond it is refused rather than cut short.
const MaxIdentity = 16 << 10

// Identity is who the tailnet says is at an address. A tagged device has tags
// and no user; any other has a user and no tags.
type Identity struct {
	Node      string         `json:"node"`      // MagicDNS name, no final dot
	StableID  string         `json:"stable_id"` // survives renaming and new keys
	User      string         `json:"user,omitempty"`
	Tags      []string       `json:"tags,omitempty"`
	OS        string         `json:"os,omitempty"`
	Addresses []netip.Prefix `json:"addresses"`
}

// WhoIs returns the identity behind a tailnet address. It answers from the
// netmap in memory and fails for an address that no visible peer has, and for one
// whose peer's key has expired.
func (n *Node) WhoIs(addr netip.AddrPort) (*Identity, error) {
	backend, err := n.backend()
	if err != nil {
		return nil, err
	}
	node, user, ok := backend.WhoIs("tcp", addr)
	if !ok {
		// WhoIs wants a profile of the owner, which control servers other than
		// Tailscale's leave out for tagged nodes. Tags need none.
		if node, ok = nodeAt(backend, addr.Addr()); !ok {
			return nil, errf(KindOther, "no peer of this tailnet has the address %v", addr.Addr())
		}
	}
	if past(node.KeyExpiry(), backend.ControlNow(time.Now())) {
		return nil, errf(KindOther, "the key of the node at %v has expired", addr.Addr())
	}
	return identityOf(node, user, addr.Addr())
}

// nodeAt returns the node that has an address, not one that is a route to it.
func nodeAt(backend *ipnlocal.LocalBackend, ip netip.Addr) (node tailcfg.NodeView, ok bool) {
	found, ok := backend.PeerForIP(ip)
	if !ok || !views.SliceContains(found.Node.Addresses(), netip.PrefixFrom(ip, ip.BitLen())) {
		return node, false
	}
	return found.Node, true
}

// noOwner is how a node is described that acts for no one.
const noOwner = "has neither an owner nor tags"

func identityOf(node tailcfg.NodeView, user tailcfg.UserProfile, ip netip.Addr) (*Identity, error) {
	if node.StableID() == "" {
		return nil, errf(KindOther, "the tailnet does not know the node at %v", ip)
	}
	id := &Identity{
		Node:      strings.TrimSuffix(node.Name(), "."),
		StableID:  string(node.StableID()),
		Addresses: node.Addresses().AsSlice(),
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
		return nil, errf(KindOther, "the node at %v "+noOwner, ip)
	}
	return id, nil
}

// encode returns the JSON form of id, at most MaxIdentity bytes.
func (id *Identity) encode() ([]byte, error) {
	b, err := json.Marshal(id)
	if err == nil && len(b) > MaxIdentity {
		err = errf(KindOther, "the identity of %s takes %d bytes, at most %d are allowed", id.Node, len(b), MaxIdentity)
	}
	return b, err
}
