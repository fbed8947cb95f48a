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

// tests/torture checks that they end the connection of a vanished peer, which takes a
// minute.
func TestTimersAreSet(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	ep := far.conn.endpoint
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
	var rto tcpip.TCPMaxRTOOption
	var retries tcpip.TCPMaxRetriesOption
	if err := s.TransportProtocolOption(tcp.ProtocolNumber, &rto); err != nil || time.Duration(rto) != maxRTO {
		t.Errorf("maximum RTO %v, %v", time.Duration(rto), err)
	}
	if err := s.TransportProtocolOption(tcp.ProtocolNumber, &retries); err != nil || retries != maxRetransmits {
		t.Errorf("%d retransmissions, %v", retries, err)
	}
}

// A peer with many connections soon reuses a port, and the proxy closes first if the
// client asks for it (Connection: close).
func TestPeerPortIsReusableAtOnceAfterActiveClose(t *testing.T) {
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
		// The SYN is retransmitted after a second.
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
		eventually(t, "the FIN is acknowledged", func() bool {
			return tcp.EndpointState(ep.State()) == tcp.StateClose
		})
	}
	// On a loaded machine one or two may wait.
	if waited > rounds/2 {
		t.Errorf("%d of %d connections from a reused port had to wait", waited, rounds)
	}
}
