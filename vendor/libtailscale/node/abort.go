package node

import (
	"net"
	"reflect"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// abortTCP makes the peer see a reset. gonet offers no such call, and a plain
// close would tell the peer that a truncated stream is complete, so the
// endpoint is taken out of gonet's private field. TestAbortReachesPeer fails if
// gVisor ever renames it.
func abortTCP(c net.Conn) {
	tcp, ok := c.(*gonet.TCPConn)
	if !ok {
		return
	}
	field := reflect.ValueOf(tcp).Elem().FieldByName("ep")
	if !field.IsValid() {
		return
	}
	ep, ok := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Interface().(tcpip.Endpoint)
	if ok && ep != nil {
		ep.Abort()
	}
}
