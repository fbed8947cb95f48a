package node

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"tailscale.com/tailcfg"
)

func TestClientOutsideTheTailnetIsReportedOnce(t *testing.T) {
	tn := newTailnet(t)
	n := tn.upNode(t, "n")
	e := eventsOf(t, n)
	e.until("running", func(e Event) bool { return e.State == "Running" })
	ours, theirs, err := socketpair()
	must(t, err)
	t.Cleanup(func() { ours.Close(); unix.Close(theirs) })
	l := &listener{node: n, queue: ours}
	refuse := func(src string) {
		t.Helper()
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		if err := l.deliver(near, netip.MustParseAddrPort(src), netip.MustParseAddrPort("100.64.0.1:80")); err == nil {
			t.Fatalf("%s was delivered", src)
		}
	}
	refuse("100.99.99.99:1") // an unknown node is no subnet client
	for _, src := range []string{"10.1.2.3:1", "10.1.2.4:1", "[fd7a:115c:a1e0:b1a::1]:1"} {
		refuse(src)
	}
	if event := e.until("a client outside the tailnet", ofType("refused")); !strings.Contains(event.Error, "10.1.2.3") {
		t.Errorf("%+v", event)
	}
	// Another one is not reported: the next event of the same goroutine is the filter.
	refuse("10.1.2.5:1")
	closed := []tailcfg.FilterRule{{SrcIPs: []string{"100.64.0.77"}}}
	if !tn.AddRawMapResponse(tn.AllNodes()[0].Key, &tailcfg.MapResponse{PacketFilter: closed}) {
		t.Fatal("the node has no poll")
	}
	e.until("the filter", func(event Event) bool {
		if event.Type == "refused" {
			t.Errorf("reported twice: %+v", event)
		}
		open, err := n.CheckAccess(netip.MustParseAddr("100.64.0.9"), netip.AddrPortFrom(n.Addresses()[0], 80))
		must(t, err)
		return event.Type == "netmap" && !open
	})
}
