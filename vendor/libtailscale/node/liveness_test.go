package node

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// That a vanished peer's connection ends by them takes a minute; it is tested
// where that minute serves for more, in tests/torture.
func TestTimersAreSet(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	ep := private(far.conn.net.(*gonet.TCPConn), "ep").(tcpip.Endpoint)
	var idle tcpip.KeepaliveIdleOption
	var interval tcpip.KeepaliveIntervalOption
	if err := ep.GetSockOpt(&idle); err != nil || time.Duration(idle).String() != keepAliveIdle {
		t.Errorf("keepalive after %v, %v", time.Duration(idle), err)
	}
	if err := ep.GetSockOpt(&interval); err != nil || time.Duration(interval).String() != keepAliveInterval {
		t.Errorf("keepalive every %v, %v", time.Duration(interval), err)
	}
	if !ep.SocketOptions().GetKeepAlive() {
		t.Error("no keepalive")
	}
	s := private(p.server.server.Sys().Netstack.Get(), "ipstack").(*stack.Stack)
	var pause tcpip.TCPMaxRTOOption
	var retries tcpip.TCPMaxRetriesOption
	if err := s.TransportProtocolOption(tcp.ProtocolNumber, &pause); err != nil || time.Duration(pause) != maxRetryPause {
		t.Errorf("retries after at most %v, %v", time.Duration(pause), err)
	}
	if err := s.TransportProtocolOption(tcp.ProtocolNumber, &retries); err != nil || retries != maxRetries {
		t.Errorf("%d retries, %v", retries, err)
	}
}

// A peer with many connections uses a port again soon, and we close first where it
// asks for that (Connection: close).
func TestPortOfConnectionThatWeClosedIsFreeAtOnce(t *testing.T) {
	p := newPair(t)
	s := private(p.client.server.Sys().Netstack.Get(), "ipstack").(*stack.Stack)
	full := func(at netip.AddrPort) tcpip.FullAddress {
		return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFromSlice(at.Addr().AsSlice()), Port: at.Port()}
	}
	from := full(netip.AddrPortFrom(p.client.Addresses()[0], 50_000))
	const rounds = 6
	waited := 0
	for range rounds {
		began := time.Now()
		near, err := gonet.DialTCPWithBind(deadline(t), s, from, full(netip.MustParseAddrPort(p.addr)), ipv4.ProtocolNumber)
		must(t, err)
		// The first SYN is sent again after a second.
		if time.Since(began) >= time.Second {
			waited++
		}
		far := p.accept()
		far.close()
		if b, err := io.ReadAll(near); len(b) > 0 || err != nil {
			t.Fatalf("%q, %v", b, err)
		}
		must(t, near.Close())
		ep := endpointOf(near)
		eventually(t, "the peer's end has been confirmed", func() bool {
			return tcp.EndpointState(ep.State()) == tcp.StateClose
		})
	}
	// One or two may have waited for a machine that has too much to do.
	if waited > rounds/2 {
		t.Errorf("%d of %d connections from a port that is used again had to wait", waited, rounds)
	}
}
