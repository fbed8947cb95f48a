package node

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestEachReasonOfRefusalsIsReportedOnce(t *testing.T) {
	var r refusals
	ip := netip.MustParseAddr
	noOwner := errNoOwner{ip("100.64.0.9")}
	r.add(ip("100.64.0.8"), errors.New("no peer of this tailnet has the address 100.64.0.8"))
	for range 3 {
		r.add(ip("100.64.0.9"), noOwner)
		r.add(ip("192.168.1.7"), noOwner)
		r.add(ip("192.168.1.8"), noOwner)
	}
	got := r.take()
	if len(got) != 2 || got[0] != noOwner.Error() || !strings.Contains(got[1], "192.168.1.7 is outside the tailnet") {
		t.Errorf("reported %q", got)
	}
	r.add(ip("192.168.1.7"), noOwner)
	if got := r.take(); got != nil {
		t.Errorf("reported again: %q", got)
	}
}
