package clients

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/wgengine/netstack"
)

// SetReceiveBuffer has connections that the client makes from now on take in
// only about so many bytes that nobody has read, those of forwards included.
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
