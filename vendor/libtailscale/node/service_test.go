package node

import (
	"net/netip"
	"slices"
	"testing"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const vip = "100.100.1.1"

// keyOf returns the node key under which the control server knows a node.
func (tn *tailnet) keyOf(t *testing.T, n *Node) key.NodePublic {
	t.Helper()
	ip := n.Addresses()[0]
	for _, known := range tn.AllNodes() {
		if slices.Contains(known.Addresses, netip.PrefixFrom(ip, ip.BitLen())) {
			return known.Key
		}
	}
	t.Fatalf("the control server knows no node at %v", ip)
	return key.NodePublic{}
}

// advertised returns the advertised Services.
func advertised(t *testing.T, n *Node) []string {
	t.Helper()
	lc, err := n.client()
	must(t, err)
	prefs, err := lc.GetPrefs(deadline(t))
	must(t, err)
	return prefs.AdvertiseServices
}

func TestConnectionToAServiceComesWithItsIdentity(t *testing.T) {
	tn := newTailnet(t)
	host, client := tn.upNode(t, "host"), tn.upNode(t, "client")
	const port = testPort
	listener := listen(t, host)
	must(t, host.HostService(deadline(t), "svc:ollama", port))
	e := eventsOf(t, host)

	tn.SetNodeCapMap(tn.keyOf(t, host), tailcfg.NodeCapMap{
		tailcfg.NodeAttrServiceHost: {tailcfg.RawMessage(`{"svc:ollama": ["` + vip + `"], "svc:other": ["100.100.1.2"]}`)},
	})
	tn.SetSubnetRoutes(tn.keyOf(t, host), []netip.Prefix{netip.MustParsePrefix(vip + "/32")})
	at := netip.MustParseAddr(vip)
	e.until("the Service's address", func(e Event) bool {
		return e.Type == "name" && slices.Equal(e.Status.ServiceAddresses, []netip.Addr{at})
	})
	p := &pair{t, host, client, listener, netip.AddrPortFrom(at, port).String()}
	near, far := p.connect()
	defer near.close()
	defer far.close()
	if far.conn.Local != netip.AddrPortFrom(at, port) || far.conn.Remote.Addr() != client.Addresses()[0] {
		t.Errorf("from %v to %v", far.conn.Remote, far.conn.Local)
	}
	if id := far.conn.peer; id.Node != "client.tailnet.test" {
		t.Errorf("%+v", id)
	}
	_, err := near.Write([]byte("hello"))
	must(t, err)
	must(t, near.closeWrite())
	if b, err := far.readAll(); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}

	peers, err := host.Peers([]uint16{port, port + 1}, "")
	must(t, err)
	var admittedAt []netip.Addr
	for _, a := range peers[0].Addresses {
		if a.IP == client.Addresses()[0] && slices.Equal(a.Admitted, []uint16{port, port + 1}) {
			admittedAt = append(admittedAt, a.At)
		}
	}
	if !slices.Equal(admittedAt, []netip.Addr{host.Addresses()[0], at}) {
		t.Errorf("admitted at %v", admittedAt)
	}

	if host.isHosted(netip.AddrPortFrom(at, port+1)) {
		t.Error("another port of the Service is accepted")
	}
}

func TestServiceIsAdvertisedOnRequestAndClearedAtStart(t *testing.T) {
	tn := newTailnet(t)
	dir := t.TempDir()
	start := func() *Node { return tn.upNode(t, "host", func(c *Config) { c.Dir = dir }) }
	n := start()
	if err := n.AdvertiseService(deadline(t), true); err == nil {
		t.Error("no Service is advertised without an error")
	}
	for _, name := range []string{"ollama", "svc:", "svc:a.b", "svc:Ü"} {
		if err := n.HostService(deadline(t), name, 1); err == nil {
			t.Errorf("the invalid name %q is hosted", name)
		}
	}
	must(t, n.HostService(deadline(t), "svc:ollama", 4711))
	if got := advertised(t, n); len(got) != 0 {
		t.Errorf("advertised before the request: %v", got)
	}
	must(t, n.AdvertiseService(deadline(t), true))
	if got := advertised(t, n); !slices.Equal(got, []string{"svc:ollama"}) {
		t.Errorf("advertised: %v", got)
	}
	must(t, n.AdvertiseService(deadline(t), false))
	if got := advertised(t, n); len(got) != 0 {
		t.Errorf("still advertised: %v", got)
	}
	must(t, n.AdvertiseService(deadline(t), true))
	must(t, n.Close())

	n = start()
	if got := advertised(t, n); len(got) != 0 {
		t.Errorf("advertised since an earlier run: %v", got)
	}
	lc, err := n.client()
	must(t, err)
	config, err := lc.GetServeConfig(deadline(t))
	must(t, err)
	if len(config.Services) != 0 {
		t.Errorf("hosted since an earlier run: %v", config.Services)
	}
}
