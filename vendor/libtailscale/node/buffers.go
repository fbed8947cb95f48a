package node

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/tsnet"
)

// What one connection may hold of bytes that nobody has taken. Tailscale's own
// sizes are 1 MiB at first and 6 to 8 MiB after that, so a thousand peers that
// ask and do not read could fill the machine's memory. These let an answer go
// on at 40 Mbit/s, and an upload at 160, to a peer 50 ms away.
var (
	sendBuffer    = tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 64 << 10, Max: 256 << 10}
	receiveBuffer = tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 256 << 10, Max: 1 << 20}
)

// boundBuffers sets them, for connections that a server has yet to get.
func boundBuffers(server *tsnet.Server) {
	impl := netstackOf(server)
	impl.SetTransportProtocolOption(tcp.ProtocolNumber, &sendBuffer)
	impl.SetTransportProtocolOption(tcp.ProtocolNumber, &receiveBuffer)
}
