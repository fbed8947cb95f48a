package node

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/envknob"
	"tailscale.com/tsnet"
)

// A peer that vanishes, such as a laptop with a closed lid, closes nothing, and
// WireGuard does not notice it. By gVisor's defaults its connections would last a
// quarter of an hour with data in flight, and more than two hours without. Here both
// take about a minute. A peer that only does not read is unaffected: it acknowledges
// window probes.
const (
	// maxRetransmits is about a minute: 30 times maxRTO, after a few faster ones.
	maxRetransmits = 30
	// maxRTO bounds the retransmission time-out. gVisor doubles it up to two minutes,
	// so that ten seconds of loss, as when a peer changes networks, would cause twenty
	// of silence.
	maxRTO = 2 * time.Second

	// gVisor gives up an idle connection after nine unanswered probes.
	keepAliveIdle     = "30s"
	keepAliveInterval = "3s"

	// timeWait is how long TIME-WAIT lasts after an active close: not at all. gVisor
	// would accept a new connection from the same port of the same peer in TIME-WAIT
	// (RFC 1122, 4.2.2.13), but only with a gVisor listener. Tailscale's forwarder has
	// none: it drops the SYN, and the peer waits for one to three seconds. Two
	// protections are lost. Stray segments of the old connection could enter the new
	// one; but WireGuard rejects replays, and a peer's sequence numbers have advanced
	// (RFC 6528). And if the acknowledgement of a peer's FIN is lost, the peer gets a
	// reset; it has all our data and our FIN by then.
	timeWait = 0
)

// setKeepAlive sets the keep-alive of all nodes of the process, before the first
// starts.
func setKeepAlive() {
	envknob.Setenv("TS_NETSTACK_KEEPALIVE_IDLE", keepAliveIdle)
	envknob.Setenv("TS_NETSTACK_KEEPALIVE_INTERVAL", keepAliveInterval)
}

// setTimers sets the other timers, for new connections of a server.
func setTimers(server *tsnet.Server) {
	impl := netstackOf(server)
	for _, option := range []tcpip.SettableTransportProtocolOption{
		new(tcpip.TCPTimeWaitTimeoutOption(timeWait)),
		new(tcpip.TCPMaxRetriesOption(maxRetransmits)),
		new(tcpip.TCPMaxRTOOption(maxRTO)),
	} {
		impl.SetTransportProtocolOption(tcp.ProtocolNumber, option)
	}
}
