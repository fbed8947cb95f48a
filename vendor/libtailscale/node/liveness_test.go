package node

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
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
