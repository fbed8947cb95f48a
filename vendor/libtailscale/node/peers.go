package node

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/wgengine/filter"
)

// A Peer is a node of the netmap and what the tailnet policy, as it stands now,
// lets it do here.
type Peer struct {
	Node      string     `json:"node"` // MagicDNS name, no final dot
	StableID  string     `json:"stable_id"`
	User      string     `json:"user,omitempty"`
	Tags      []string   `json:"tags,omitempty"`
	OS        string     `json:"os,omitempty"`
	Online    bool       `json:"online,omitempty"`
	Expired   bool       `json:"expired,omitempty"` // its node key; then nothing is admitted or granted
	Direct    string     `json:"direct,omitempty"`  // "ip:port" through which packets go straight to it
	Relay     string     `json:"relay,omitempty"`   // else what passes them on; both are empty while none flow
	Addresses []PeerAddr `json:"addresses"`
}

// A PeerAddr is one address of a peer at one of ours, the node's own or the hosted
// Service's. A policy may name a single one, so each has a standing of its own.
type PeerAddr struct {
	IP       netip.Addr        `json:"ip"`
	At       netip.Addr        `json:"at"`                 // ours
	Admitted []uint16          `json:"admitted,omitempty"` // those of the ports asked about that it may connect to
	Grants   []json.RawMessage `json:"grants,omitempty"`   // values of the capability asked about
}

// Peers returns everybody in the netmap, by name, with access to TCP ports of
// ours and the values granted under an app capability. All ports are judged by
// one netmap and one packet filter.
func (n *Node) Peers(ports []uint16, capability string) ([]Peer, error) {
	backend, err := n.backend()
	if err != nil {
		return nil, err
	}
	status := backend.Status()
	memory.know(len(status.Peer))
	// Taken after the netmap: a peer that has been added meanwhile is judged the
	// next time.
	live, err := n.filter()
	if err != nil {
		return nil, err
	}
	ours := n.Addresses()
	if status.Self != nil {
		ours = append(ours, n.addressesOfService(status.Self.CapMap)...)
	}
	// Tailscale acts on a key's expiry ten seconds after it, and from then on carries
	// no packet to the peer: acted on now, a reset still reaches it.
	now := backend.ControlNow(time.Now())
	peers := []Peer{}
	for _, st := range status.Peer {
		p := Peer{
			Node:     strings.TrimSuffix(st.DNSName, "."),
			StableID: string(st.ID),
			OS:       st.OS,
			Online:   st.Online,
			Expired:  st.Expired || st.KeyExpiry != nil && past(*st.KeyExpiry, now),
		}
		if st.Tags != nil && st.Tags.Len() > 0 {
			p.Tags = st.Tags.AsSlice()
		} else if owner, ok := status.User[st.UserID]; ok {
			p.User = owner.LoginName
		}
		p.Direct, p.Relay = pathOf(st)
		p.Addresses = []PeerAddr{}
		for _, ip := range st.TailscaleIPs {
			for _, at := range ours {
				if ip.Is4() != at.Is4() {
					continue
				}
				addr := PeerAddr{IP: ip, At: at}
				if live != nil && !p.Expired {
					addr.judge(live, ports, tailcfg.PeerCapability(capability))
				}
				p.Addresses = append(p.Addresses, addr)
			}
		}
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.StableID, b.StableID)) })
	return peers, nil
}

// past reports whether a key that expires at some time, or with the zero time never,
// has expired.
func past(expiry, now time.Time) bool { return !expiry.IsZero() && !expiry.After(now) }

// pathOf tells how packets reach a peer now. A peer has a home relay whether or
// not anything goes through it, so an idle one has no path.
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

func (a *PeerAddr) judge(live *filter.Filter, ports []uint16, capability tailcfg.PeerCapability) {
	for _, port := range ports {
		if live.CheckTCP(a.IP, a.At, port) == filter.Accept {
			a.Admitted = append(a.Admitted, port)
		}
	}
	for _, value := range live.CapsWithValues(a.IP, a.At)[capability] {
		a.Grants = append(a.Grants, json.RawMessage(value))
	}
}
