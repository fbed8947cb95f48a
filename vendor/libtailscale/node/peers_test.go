package node

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/netmap"
)

func TestPathIsDirectOrRelayedOrNone(t *testing.T) {
	for _, c := range []struct {
		st            ipnstate.PeerStatus
		direct, relay string
	}{
		{ipnstate.PeerStatus{Relay: "fra"}, "", ""},
		{ipnstate.PeerStatus{Relay: "fra", Active: true}, "", "fra"},
		{ipnstate.PeerStatus{Relay: "fra", Active: true, PeerRelay: "192.0.2.1:7:vni:9"}, "", "192.0.2.1:7:vni:9"},
		{ipnstate.PeerStatus{Relay: "fra", Active: true, CurAddr: "192.0.2.2:41641"}, "192.0.2.2:41641", ""},
	} {
		if direct, relay := pathOf(&c.st); direct != c.direct || relay != c.relay {
			t.Errorf("%+v: %q, %q", c.st, direct, relay)
		}
	}
}

func TestConnectedPeerHasAPath(t *testing.T) {
	p := newPair(t)
	eventually(t, "the client has a path", func() bool {
		peers, err := p.server.Peers([]uint16{testPort}, "")
		must(t, err)
		if len(peers) != 1 {
			return false
		}
		addr, err := netip.ParseAddrPort(peers[0].Direct)
		return err == nil && addr.IsValid() || peers[0].Relay != ""
	})
}

// A peer and its owner that arrive after the last full netmap, as Tailscale's control
// server sends them. Without its owner the peer would count as another principal, and
// the next sweep would cut its sessions.
func TestPeerThatJoinsLaterHasItsOwner(t *testing.T) {
	tn := newTailnet(t)
	server := tn.upNode(t, "server")
	backend, err := server.backend()
	must(t, err)
	owner := &tailcfg.UserProfile{ID: 4242, LoginName: "eve@example.com"}
	peer := &tailcfg.Node{
		ID: 4242, StableID: "nEVE", Name: "eve.tailnet.test.", User: owner.ID, Key: key.NewNode().Public(),
		Addresses: []netip.Prefix{netip.MustParsePrefix("100.64.42.42/32")},
	}
	// Again if a full netmap of the control server, which does not know the peer, comes in between.
	eventually(t, "the peer has its owner", func() bool {
		if !backend.UpdateUserProfiles(map[tailcfg.UserID]tailcfg.UserProfileView{owner.ID: owner.View()}) ||
			!backend.UpdateNetmapDelta([]netmap.NodeMutation{netmap.NodeMutationUpsert{Node: peer.View()}}) {
			t.Fatal("the backend did not accept the change")
		}
		peers, err := server.Peers([]uint16{testPort}, "")
		must(t, err)
		if len(peers) == 1 && peers[0].User != owner.LoginName {
			t.Fatalf("%+v", peers)
		}
		return len(peers) == 1
	})
}

// Tailscale marks the peer ten seconds later. The control server's clock decides; this
// one is years behind the local clock.
func TestPeerExpiresWithItsKey(t *testing.T) {
	tn := newTailnet(t)
	server, client := tn.upNode(t, "server"), tn.upNode(t, "client")
	backend, err := server.backend()
	must(t, err)
	expired := func() bool {
		peers, err := server.Peers([]uint16{testPort}, "")
		must(t, err)
		return len(peers) == 1 && peers[0].Expired
	}
	known := tn.Node(tn.keyOf(t, client))
	known.KeyExpiry = backend.ControlNow(time.Now()).Add(3 * time.Second).Truncate(time.Second)
	tn.UpdateNode(known)
	eventually(t, "the peer is expired", expired)
	if late := backend.ControlNow(time.Now()).Sub(known.KeyExpiry); late < 0 || late > 5*time.Second {
		t.Errorf("the peer expired %v after its key", late)
	}
	if who, err := server.identify(netip.AddrPortFrom(client.Addresses()[0], 1)); err == nil {
		t.Errorf("an expired peer is identified as %+v", who)
	}
}

// The list of the netmap and the event of the state come by different ways. A list without
// peers would have the proxy record that each of them lost its access.
func TestPeersAreNotListedWhileTheNodeIsOutOfTheTailnet(t *testing.T) {
	tn := newTailnet(t)
	server := tn.upNode(t, "server")
	tn.upNode(t, "client")
	eventually(t, "the client is listed", func() bool {
		peers, err := server.Peers([]uint16{testPort}, "")
		must(t, err)
		return len(peers) == 1
	})
	tn.SetExpireAllNodes(true)
	eventually(t, "the list fails", func() bool {
		peers, err := server.Peers([]uint16{testPort}, "")
		if err == nil && len(peers) == 0 {
			t.Fatal("a list without peers instead of an error")
		}
		return err != nil && strings.Contains(err.Error(), "out of the tailnet (state=NeedsLogin)")
	})
}
