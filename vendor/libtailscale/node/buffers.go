package node

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/tsnet"
)

// TCP buffer sizes of one connection. Tailscale's own are 1 MiB by default and at most
// 6 to 8 MiB, so a thousand peers that do not read could exhaust the memory. At a round
// trip of 50 ms, these allow 40 Mbit/s for an answer and 160 Mbit/s for an upload.
var (
	sendBuffer    = tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 64 << 10, Max: 256 << 10}
	receiveBuffer = tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 256 << 10, Max: 1 << 20}
)

// setBufferSizes applies them to new connections of a server.
func setBufferSizes(server *tsnet.Server) {
	impl := netstackOf(server)
	impl.SetTransportProtocolOption(tcp.ProtocolNumber, &sendBuffer)
	impl.SetTransportProtocolOption(tcp.ProtocolNumber, &receiveBuffer)
}
