package node

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"tailscale.com/net/dnsfallback"
	"tailscale.com/net/netmon"
	"tailscale.com/net/netns"
	"tailscale.com/types/logger"
)

// tests/e2e/outside.rs checks the same for the whole program, from outside.
func TestNoServerOutsideTheTailnetIsAskedForTheControlServer(t *testing.T) {
	must(t, prepareProcess(&Config{}))
	var refused, failed int
	logf := func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		if strings.Contains(line, "error: ") {
			failed++
		}
		if strings.Contains(line, errDNSFallback.Error()) {
			refused++
		}
	}
	lookup := dnsfallback.MakeLookupFunc(logf, netmon.NewStatic())
	if ips, err := lookup(t.Context(), "control.example.com"); err == nil {
		t.Errorf("found %v", ips)
	}
	if refused == 0 || refused != failed {
		t.Errorf("%d of %d attempts were refused", refused, failed)
	}
}

func TestOtherDialersStillDial(t *testing.T) {
	must(t, prepareProcess(&Config{}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	conn, err := netns.NewDialer(logger.Discard, netmon.NewStatic()).DialContext(t.Context(), "tcp", listener.Addr().String())
	if errors.Is(err, errDNSFallback) {
		t.Fatal(err)
	}
	must(t, err)
	conn.Close()
}
