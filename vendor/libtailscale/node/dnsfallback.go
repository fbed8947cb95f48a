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

// If Tailscale's client can't resolve or reach the control server, it asks Tailscale's
// relays for the address, whichever tailnet the node is in (its package dnsfallback).
// No build tag, variable or option disables that. The dialers of that package come
// from netns, which passes each to wrapDialer. The wrapper recognizes the package by
// its caller.

// wrapDialer is a variable of netns, set when the program starts.
//
//go:linkname wrapDialer tailscale.com/net/netns.wrapDialer
var wrapDialer func(netns.Dialer) netns.Dialer

// dnsFallbackPackage must not dial.
const dnsFallbackPackage = "tailscale.com/net/dnsfallback."

// disableDNSFallback prevents tailscale from asking servers outside the tailnet for
// the address of the control server. Call it before anything dials.
func disableDNSFallback() error {
	wrap := wrapDialer
	if wrap == nil {
		return errf(KindOther, "disable DNS fallback: netns.wrapDialer is not set: build with the version in vendor/libtailscale/go.mod")
	}
	wrapDialer = func(d netns.Dialer) netns.Dialer {
		if calledFrom(dnsFallbackPackage) {
			return noDialer{}
		}
		return wrap(d)
	}
	return nil
}

// calledFrom reports whether a function of a package, named with its final dot, is
// among the callers.
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

var errDNSFallback = errors.New("dial DNS fallback: servers outside the tailnet are never asked for the control server's address")

// noDialer refuses every connection.
type noDialer struct{}

func (noDialer) Dial(network, address string) (net.Conn, error) { return nil, errDNSFallback }

func (noDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return nil, errDNSFallback
}
