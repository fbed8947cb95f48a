package node

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/envknob"
	"tailscale.com/tsnet"
)

// A peer that vanishes, as a laptop does whose lid is closed, ends nothing, and
// WireGuard has no word of it. With what gVisor does by itself a connection to
// it would last a quarter of an hour if something is on its way, and more than
// two hours if nothing is. Both are about a minute here, and bytes that a
// reader has no room for are not concerned: it confirms that it is there.
const (
	// While something is on its way. 30 times that, after the first few, which
	// come faster, is a minute.
	maxRetries = 30
	// A path that is lost and found again, as when a peer changes networks, is
	// used again after this long at most. gVisor doubles the pause up to two
	// minutes, so that ten seconds of loss made twenty of silence.
	maxRetryPause = 2 * time.Second

	// While nothing is: gVisor sends nine probes and then gives up.
	keepAliveIdle     = "30s"
	keepAliveInterval = "3s"

	// timeWait is how long a connection that our side closed first is remembered:
	// not at all. gVisor would take a new connection from the same port of the same
	// peer meanwhile (RFC 1122, 4.2.2.13), but only where somebody listens, which
	// nobody does under tailscale's forwarder: it drops the SYN, and the peer waits a
	// second or three. Two things are given up. Stray packets of the old connection
	// could get into the new one: WireGuard lets none through twice, and a peer's
	// sequence numbers have moved on (RFC 6528). And a peer whose end is confirmed by
	// a packet that is lost gets a reset for it; it has all our bytes and our end by
	// then, or we would not be in TIME-WAIT.
	timeWait = 0
)

// keepAlive sets the probes of all nodes of this process, before the first starts.
func keepAlive() {
	envknob.Setenv("TS_NETSTACK_KEEPALIVE_IDLE", keepAliveIdle)
	envknob.Setenv("TS_NETSTACK_KEEPALIVE_INTERVAL", keepAliveInterval)
}

// setTimers sets the rest, for connections that a server has yet to get.
func setTimers(server *tsnet.Server) {
	impl := netstackOf(server)
	for _, option := range []tcpip.SettableTransportProtocolOption{
		new(tcpip.TCPTimeWaitTimeoutOption(timeWait)),
		new(tcpip.TCPMaxRetriesOption(maxRetries)),
		new(tcpip.TCPMaxRTOOption(maxRetryPause)),
	} {
		impl.SetTransportProtocolOption(tcp.ProtocolNumber, option)
	}
}
