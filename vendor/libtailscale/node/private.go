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

// A privateField is an unexported field of another package that this package reads,
// because that package exports nothing equivalent.
type privateField struct {
	owner reflect.Type
	path  string // from the owner to the field: "a.b.c"
	want  reflect.Type
	use   string
}

var privateFields = []privateField{
	{reflect.TypeFor[gonet.TCPConn](), "ep", reflect.TypeFor[tcpip.Endpoint](), "reset connections"},
	{reflect.TypeFor[gonet.TCPConn](), "wq", reflect.TypeFor[*gwaiter.Queue](), "read without blocking"},
	{reflect.TypeFor[netstack.Impl](), "ipstack", reflect.TypeFor[*stack.Stack](), "reset all connections on close"},
	{reflect.TypeFor[netstack.Impl](), "linkEP.q.c", reflect.TypeFor[chan *stack.PacketBuffer](), "write without blocking"},
	{reflect.TypeFor[tsnet.Server](), "lb", reflect.TypeFor[*ipnlocal.LocalBackend](), "identify peers"},
	{reflect.TypeFor[tsnet.Server](), "shutdownCancel", reflect.TypeFor[context.CancelFunc](), "cancel the exchange of a client secret"},
	{reflect.TypeFor[ipnlocal.LocalBackend](), "mu", reflect.TypeFor[syncs.Mutex](), "probe the control server"},
	{reflect.TypeFor[ipnlocal.LocalBackend](), "ccAuto", reflect.TypeFor[*controlclient.Auto](), "probe the control server"},
	{reflect.TypeFor[controlclient.Auto](), "direct", reflect.TypeFor[*controlclient.Direct](), "probe the control server"},
}

// checkPrivateFields fails if a field is missing or has another type. The node must not
// start then: it could not reset the connections of a revoked peer.
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
				return f.mismatch("does not exist")
			}
			at = field.Type
		}
		if at != f.want {
			return f.mismatch("is a " + at.String())
		}
	}
	return nil
}

func (f privateField) mismatch(found string) error {
	pkg := f.owner.PkgPath()
	return errf(KindOther, "check private fields: field %s of %v in %s %s %s, but must be a %v to %s: build with the version in vendor/libtailscale/go.mod",
		f.path, f.owner, pkg, moduleVersion(pkg), found, f.want, f.use)
}

// moduleVersion returns the version of the module of a package.
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

// private reads a field that checkPrivateFields has checked.
func private(object any, field string) any {
	return reflect.ValueOf(privateAddr(object, field)).Elem().Interface()
}

// privateAddr returns a pointer to a field that checkPrivateFields has checked.
func privateAddr(object any, field string) any {
	f := reflect.ValueOf(object).Elem().FieldByName(field)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Interface()
}
