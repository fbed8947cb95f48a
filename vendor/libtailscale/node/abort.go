package node

import (
	"net"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/tsnet"
	"tailscale.com/wgengine/netstack"
)

// endpointOf returns the gVisor endpoint behind a connection. gonet exports neither
// a reset nor a non-blocking read or write; the endpoint has all three.
func endpointOf(c *gonet.TCPConn) tcpip.Endpoint {
	return private(c, "ep").(tcpip.Endpoint)
}

// refuse resets and closes a connection that the node does not hand over. A plain
// close would tell the peer that a truncated stream is complete.
func refuse(c net.Conn) {
	if tcp, ok := c.(*gonet.TCPConn); ok {
		endpointOf(tcp).Abort()
	}
	c.Close()
}

// resetAll resets every connection of a server, including those that only the peer
// still has to close. Without it, a server with more of them than its queue of
// outgoing packets holds (512) deadlocks on close: it stops draining the queue before
// it resets them.
func resetAll(server *tsnet.Server) {
	for _, ep := range endpoints(server) {
		ep.Abort()
	}
}

// hasUnacked reports whether a peer of the server has yet to acknowledge data or our
// FIN.
func hasUnacked(server *tsnet.Server) bool {
	for _, ep := range endpoints(server) {
		if mayHaveUnacked(ep.EndpointState()) {
			return true
		}
	}
	return false
}

// netstackOf returns the netstack of a server that has started.
func netstackOf(server *tsnet.Server) *netstack.Impl {
	return server.Sys().Netstack.Get().(*netstack.Impl)
}

func endpoints(server *tsnet.Server) (out []*tcp.Endpoint) {
	if s := private(netstackOf(server), "ipstack").(*stack.Stack); s != nil {
		for _, ep := range s.RegisteredEndpoints() {
			if ep, ok := ep.(*tcp.Endpoint); ok {
				out = append(out, ep)
			}
		}
	}
	return out
}
