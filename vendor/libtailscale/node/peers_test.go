package node

import (
	"net/netip"
	"testing"

	"tailscale.com/ipn/ipnstate"
)

func TestThePathToAPeer(t *testing.T) {
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

func TestAPeerThatIsConnectedHasAPath(t *testing.T) {
	p := newPair(t)
	eventually(t, "the node tells how the client is reached", func() bool {
		peers, err := p.server.Peers([]uint16{4711}, "")
		must(t, err)
		if len(peers) != 1 {
			return false
		}
		addr, err := netip.ParseAddrPort(peers[0].Direct)
		return err == nil && addr.IsValid() || peers[0].Relay != ""
	})
}
