package node

import (
	"context"
	"reflect"
	"runtime/debug"
	"strings"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	gwaiter "gvisor.dev/gvisor/pkg/waiter"
	"tailscale.com/control/controlclient"
	"tailscale.com/ipn/ipnlocal"
	"tailscale.com/syncs"
	"tailscale.com/tsnet"
	"tailscale.com/wgengine/netstack"
)

// A privateField is an unexported field of another package that this package
// reads, because that package exports no way to the same thing.
type privateField struct {
	owner reflect.Type
	path  string // from the owner inwards: "a.b.c"
	want  reflect.Type
	use   string
}

var privateFields = []privateField{
	{reflect.TypeFor[gonet.TCPConn](), "ep", reflect.TypeFor[tcpip.Endpoint](), "reset connections"},
	{reflect.TypeFor[gonet.TCPConn](), "wq", reflect.TypeFor[*gwaiter.Queue](), "read without a descriptor"},
	{reflect.TypeFor[netstack.Impl](), "ipstack", reflect.TypeFor[*stack.Stack](), "reset connections at the end"},
	{reflect.TypeFor[netstack.Impl](), "linkEP.q.c", reflect.TypeFor[chan *stack.PacketBuffer](), "write without waiting"},
	{reflect.TypeFor[tsnet.Server](), "lb", reflect.TypeFor[*ipnlocal.LocalBackend](), "identify peers"},
	{reflect.TypeFor[tsnet.Server](), "shutdownCancel", reflect.TypeFor[context.CancelFunc](), "cancel the exchange of a client secret"},
	{reflect.TypeFor[ipnlocal.LocalBackend](), "mu", reflect.TypeFor[syncs.Mutex](), "ask the control server"},
	{reflect.TypeFor[ipnlocal.LocalBackend](), "ccAuto", reflect.TypeFor[*controlclient.Auto](), "ask the control server"},
	{reflect.TypeFor[controlclient.Auto](), "direct", reflect.TypeFor[*controlclient.Direct](), "ask the control server"},
}

// checkPrivateFields fails if one of the fields is not there or has another type.
// A node must not start then: it could not reset the connections of a revoked peer.
func checkPrivateFields(fields []privateField) error {
	for _, f := range fields {
		at := f.owner
		for name := range strings.SplitSeq(f.path, ".") {
			if at.Kind() == reflect.Pointer {
				at = at.Elem()
			}
			field, ok := reflect.StructField{}, false
			if at.Kind() == reflect.Struct {
				field, ok = at.FieldByName(name)
			}
			if !ok {
				return f.moved("does not exist")
			}
			at = field.Type
		}
		if at != f.want {
			return f.moved("is a " + at.String())
		}
	}
	return nil
}

func (f privateField) moved(what string) error {
	pkg := f.owner.PkgPath()
	return errf(KindOther, "field %s of %v in %s %s %s, and has to be a %v to %s: build with the version in vendor/libtailscale/go.mod",
		f.path, f.owner, pkg, moduleVersion(pkg), what, f.want, f.use)
}

// moduleVersion returns the version of the module that a package is of.
func moduleVersion(pkg string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown version)"
	}
	for _, module := range info.Deps {
		if pkg == module.Path || strings.HasPrefix(pkg, module.Path+"/") {
			return module.Version
		}
	}
	return "(unknown version)"
}

// private reads a field that checkPrivateFields has found.
func private(object any, field string) any {
	return reflect.ValueOf(privateAddr(object, field)).Elem().Interface()
}

// privateAddr returns a pointer to a field that checkPrivateFields has found.
func privateAddr(object any, field string) any {
	f := reflect.ValueOf(object).Elem().FieldByName(field)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Interface()
}
