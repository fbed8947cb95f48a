package node

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"

	"tailscale.com/client/tailscale/apitype"
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
// netmap in memory and fails for an address that no visible peer has.
func (n *Node) WhoIs(ctx context.Context, addr netip.AddrPort) (*Identity, error) {
	lc, err := n.client()
	if err != nil {
		return nil, err
	}
	who, err := lc.WhoIsProto(ctx, "tcp", addr.String())
	if err != nil {
		return nil, errf(KindOther, "no peer of this tailnet has the address %v: %v", addr.Addr(), err)
	}
	return identityOf(who, addr.Addr())
}

func identityOf(who *apitype.WhoIsResponse, ip netip.Addr) (*Identity, error) {
	if who.Node == nil || who.Node.StableID == "" {
		return nil, errf(KindOther, "the tailnet does not know the node at %v", ip)
	}
	id := &Identity{
		Node:      strings.TrimSuffix(who.Node.Name, "."),
		StableID:  string(who.Node.StableID),
		Addresses: who.Node.Addresses,
	}
	if who.Node.Hostinfo.Valid() {
		id.OS = who.Node.Hostinfo.OS()
	}
	switch {
	case len(who.Node.Tags) > 0:
		id.Tags = who.Node.Tags
	case who.UserProfile != nil && who.UserProfile.LoginName != "":
		id.User = who.UserProfile.LoginName
	default:
		return nil, errf(KindOther, "the node at %v has neither an owner nor tags", ip)
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
