package node

import (
	"net/netip"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
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
