package node

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	_ "unsafe" // for go:linkname

	"tailscale.com/net/netns"
)

// Tailscale's client asks the relays of Tailscale, whichever tailnet it is in, for
// the address of a control server that it can't resolve or reach (its package
// dnsfallback). Nothing turns that off: no build tag, no variable, no option. All
// dialers of that package come from netns, which has them wrapped by the function
// in wrapDialer, so there they are told apart.

// wrapDialer is a variable of netns, set when the program starts.
//
//go:linkname wrapDialer tailscale.com/net/netns.wrapDialer
var wrapDialer func(netns.Dialer) netns.Dialer

// bootstrapPackage is the part of tailscale that must not dial.
const bootstrapPackage = "tailscale.com/net/dnsfallback."

// refuseBootstrap keeps tailscale from asking servers outside of the tailnet for
// the control server's address. It must be called before anything dials.
func refuseBootstrap() error {
	wrap := wrapDialer
	if wrap == nil {
		return errf(KindOther, "tailscale's dialers can't be told apart: netns.wrapDialer is not where it was")
	}
	wrapDialer = func(d netns.Dialer) netns.Dialer {
		if calledFrom(bootstrapPackage) {
			return noDialer{}
		}
		return wrap(d)
	}
	return nil
}

// calledFrom reports whether a function of a package, named with its final dot,
// is among the callers.
func calledFrom(pkg string) bool {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, pkg) {
			return true
		}
		if !more {
			return false
		}
	}
}

var errBootstrap = errors.New("servers outside of the tailnet are not asked for the control server's address")

// noDialer refuses every connection.
type noDialer struct{}

func (noDialer) Dial(network, address string) (net.Conn, error) { return nil, errBootstrap }

func (noDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return nil, errBootstrap
}
