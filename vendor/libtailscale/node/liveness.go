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

	// timeWait is how long a connection that our side closed first is remembered.
	// Netstack's stack answers no new connection from the same port of the same
	// peer meanwhile, so with the usual minute a busy peer's connections would
	// hang. What the minute is for, stray packets, WireGuard's replay window
	// leaves little of.
	timeWait = 2 * time.Second
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
