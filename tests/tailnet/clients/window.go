package clients

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/wgengine/netstack"
)

// SetReceiveBuffer bounds the unread bytes of the client's new connections, including
// those of forwards.
func (c *Client) SetReceiveBuffer(bytes int) error {
	if bytes < tcp.MinBufferSize {
		return fmt.Errorf("bytes: %d is less than %d", bytes, tcp.MinBufferSize)
	}
	impl := c.server.Sys().Netstack.Get().(*netstack.Impl)
	sizes := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: bytes, Max: bytes}
	if err := impl.SetTransportProtocolOption(tcp.ProtocolNumber, &sizes); err != nil {
		return fmt.Errorf("bytes: %v", err)
	}
	c.receiveBuffer.Store(int64(bytes))
	return nil
}
