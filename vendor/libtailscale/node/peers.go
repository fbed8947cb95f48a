package node

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/wgengine/filter"
)

// A Peer is a node of the netmap with its current rights.
type Peer struct {
	Identity
	Online    bool       `json:"online,omitempty"`
	Expired   bool       `json:"expired,omitempty"` // its node key has expired: it is admitted and granted nothing
	Direct    string     `json:"direct,omitempty"`  // "ip:port" of the current direct path
	Relay     string     `json:"relay,omitempty"`   // or what relays its packets; both are empty while idle
	Addresses []PeerAddr `json:"addresses"`
}

// A PeerAddr holds the rights of one address of a peer at one address of the node or
// its hosted Service. A policy may name a single address.
type PeerAddr struct {
	IP       netip.Addr        `json:"ip"`
	At       netip.Addr        `json:"at"`                 // of the node or the Service
	Admitted []uint16          `json:"admitted,omitempty"` // those of the given ports that it may connect to
	Grants   []json.RawMessage `json:"grants,omitempty"`   // values of the given app capability
}

// rightsQuery is what Peers evaluates for each address.
type rightsQuery struct {
	filter     *filter.Filter // nil before the first netmap
	ports      []uint16
	capability tailcfg.PeerCapability
}

// Peers returns all peers of the netmap, sorted by name, with their access to TCP ports
// and the values of an app capability. It evaluates one netmap and one packet filter. It
// fails while the node is out of the tailnet: it has no peers then, which is not to be
// taken for peers that have lost their access.
func (n *Node) Peers(ports []uint16, capability string) ([]Peer, error) {
	backend, err := n.backend()
	if err != nil {
		return nil, err
	}
	status := backend.Status()
	memory.setPeers(len(status.Peer))
	// After the netmap: a peer that was added in between is in the next list.
	current, err := n.filter()
	if err != nil {
		return nil, err
	}
	// After both: they lose their contents once the state has changed, and the caller
	// learns of the state by an event later.
	switch state := backend.State(); state {
	case ipn.NeedsLogin, ipn.NeedsMachineAuth, ipn.Stopped:
		return nil, errf(KindOther, "list peers: the node is out of the tailnet (state=%s)", state)
	}
	query := rightsQuery{current, ports, tailcfg.PeerCapability(capability)}
	ours := n.Addresses()
	if status.Self != nil {
		ours = append(ours, n.serviceAddresses(status.Self.CapMap)...)
	}
	now := backend.ControlNow(time.Now())
	peers := []Peer{} // JSON [], never null
	for _, st := range status.Peer {
		p := peerOf(st, backend.UserProfile, now)
		for _, ip := range st.TailscaleIPs {
			p.Addresses = append(p.Addresses, query.evaluate(ip, ours, p.Expired)...)
		}
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.StableID, b.StableID)) })
	return peers, nil
}

// peerOf returns the peer without its rights. The owner comes from profileOf: the
// backend's status has the profiles of the last full netmap only, and lacks the owner
// of a peer that joined since.
func peerOf(st *ipnstate.PeerStatus, profileOf func(tailcfg.UserID) (tailcfg.UserProfileView, bool), now time.Time) Peer {
	p := Peer{
		Identity: Identity{
			Node:     strings.TrimSuffix(st.DNSName, "."),
			StableID: string(st.ID),
			OS:       st.OS,
		},
		Online: st.Online,
		// Tailscale acts on an expiry ten seconds late, and from then on sends the peer
		// no packet. Before, a reset still reaches the peer.
		Expired:   st.Expired || st.KeyExpiry != nil && isPast(*st.KeyExpiry, now),
		Addresses: []PeerAddr{}, // JSON [], never null
	}
	if st.Tags != nil && st.Tags.Len() > 0 {
		p.Tags = st.Tags.AsSlice()
	} else if owner, ok := profileOf(st.UserID); ok {
		p.User = owner.LoginName()
	}
	p.Direct, p.Relay = pathOf(st)
	return p
}

// pathOf returns the current path to a peer. Every peer has a home relay; an idle peer
// has no path.
func pathOf(st *ipnstate.PeerStatus) (direct, relay string) {
	switch {
	case st.CurAddr != "":
		return st.CurAddr, ""
	case st.PeerRelay != "":
		return "", st.PeerRelay
	case st.Active:
		return "", st.Relay
	}
	return "", ""
}

// evaluate returns the rights of ip at each of our addresses of its family.
func (q *rightsQuery) evaluate(ip netip.Addr, ours []netip.Addr, expired bool) (out []PeerAddr) {
	for _, at := range ours {
		if ip.Is4() != at.Is4() {
			continue
		}
		addr := PeerAddr{IP: ip, At: at}
		if q.filter != nil && !expired {
			addr.Admitted, addr.Grants = q.rights(ip, at)
		}
		out = append(out, addr)
	}
	return out
}

func (q *rightsQuery) rights(ip, at netip.Addr) (admitted []uint16, grants []json.RawMessage) {
	for _, port := range q.ports {
		if q.filter.CheckTCP(ip, at, port) == filter.Accept {
			admitted = append(admitted, port)
		}
	}
	for _, value := range q.filter.CapsWithValues(ip, at)[q.capability] {
		grants = append(grants, json.RawMessage(value))
	}
	return admitted, grants
}
