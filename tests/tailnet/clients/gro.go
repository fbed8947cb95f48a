package clients

import (
	"errors"
	"reflect"
	"unsafe"

	"tailscale.com/tsnet"
	"tailscale.com/wgengine/netstack"
)

// withoutGRO keeps a server's stack from joining the segments that come in. To
// be called before any come.
//
// What joins them is pooled for the whole process, and gVisor's GRO.Flush stops
// after the first packet of a bucket: it asks for the next one after it has
// taken the first out of the list. A packet that is left behind goes to whoever
// is given the same object next, with several nodes in one process often another
// node, whose stack knows no such connection and resets it. Seen by
// TestManyConnectionsOfManyClients.
func withoutGRO(server *tsnet.Server) error {
	impl, ok := server.Sys().Netstack.Get().(*netstack.Impl)
	if !ok {
		return errors.New("tsnet has another stack")
	}
	link := reflect.ValueOf(impl).Elem().FieldByName("linkEP")
	if !link.IsValid() || link.Kind() != reflect.Pointer {
		return errors.New("netstack has no linkEP")
	}
	gro := link.Elem().FieldByName("supportedGRO")
	if !gro.IsValid() {
		return errors.New("netstack's link has no supportedGRO")
	}
	reflect.NewAt(gro.Type(), unsafe.Pointer(gro.UnsafeAddr())).Elem().SetZero() // groNotSupported
	return nil
}
