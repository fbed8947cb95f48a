package clients

import (
	"errors"
	"reflect"
	"unsafe"

	"tailscale.com/tsnet"
	"tailscale.com/wgengine/netstack"
)

// disableGRO disables generic receive offload in a server's netstack. Call it before the
// server receives packets.
//
// The GRO objects are pooled for the whole process, and gVisor's GRO.Flush stops after
// the first packet of a bucket: it asks for the next one after it has removed the first
// from the list. The next user of the object gets the remaining packet. With several
// nodes in one process that is often another node, whose netstack resets the unknown
// connection. TestManyConnectionsOfManyClients shows it.
func disableGRO(server *tsnet.Server) error {
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
