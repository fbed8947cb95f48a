package node

import (
	"net"
	"reflect"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/tsnet"
	"tailscale.com/wgengine/netstack"
)

// abortTCP makes the peer of c see a reset when c is closed.
func abortTCP(c net.Conn) {
	switch c := c.(type) {
	case *gonet.TCPConn:
		// gonet offers no way to reset a connection, and a plain close would
		// tell the peer that a truncated stream is complete.
		if ep := endpointOf(c); ep != nil {
			ep.Abort()
		}
	case *net.TCPConn: // dialled outside the tailnet
		c.SetLinger(0)
	}
}

// endpointOf returns what gonet has of a connection in the tailnet; nil for any
// other.
func endpointOf(c net.Conn) tcpip.Endpoint {
	if gvisor, ok := c.(*gonet.TCPConn); ok {
		ep, _ := private(gvisor, "ep").(tcpip.Endpoint)
		return ep
	}
	return nil
}

// abortLeftovers resets every connection of a server, also those that our side
// has finished with and the peer has not. A server that stops with more of them
// than fit into its queue of outgoing packets (512) hangs for good: it stops
// emptying the queue before it resets them.
func abortLeftovers(server *tsnet.Server) {
	for _, ep := range endpoints(server) {
		ep.Abort()
	}
}

// unsent reports whether a server still has something for a peer that has not
// confirmed it, our side's end included.
func unsent(server *tsnet.Server) bool {
	for _, ep := range endpoints(server) {
		if unconfirmed(ep.EndpointState()) {
			return true
		}
	}
	return false
}

func endpoints(server *tsnet.Server) (out []*tcp.Endpoint) {
	impl, ok := server.Sys().Netstack.Get().(*netstack.Impl)
	if !ok {
		return nil
	}
	if s, ok := private(impl, "ipstack").(*stack.Stack); ok && s != nil {
		for _, ep := range s.RegisteredEndpoints() {
			if ep, ok := ep.(*tcp.Endpoint); ok {
				out = append(out, ep)
			}
		}
	}
	return out
}

// private reads an unexported field, or nil if there is none of that name: then
// TestAbortReachesPeer or TestCloseWithManyConnections fails.
func private(object any, field string) any {
	if addr := privateAddr(object, field); addr != nil {
		return reflect.ValueOf(addr).Elem().Interface()
	}
	return nil
}

// privateAddr returns a pointer to an unexported field, or nil.
func privateAddr(object any, field string) any {
	f := reflect.ValueOf(object).Elem().FieldByName(field)
	if !f.IsValid() {
		return nil
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Interface()
}
