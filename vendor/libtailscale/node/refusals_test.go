package node

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestEachReasonForARefusalIsToldOnce(t *testing.T) {
	var r refusals
	ip := netip.MustParseAddr
	fault := errors.New("the node at 100.64.0.9 has neither an owner nor tags")
	r.note(ip("100.64.0.8"), errors.New("no peer of this tailnet has the address 100.64.0.8"))
	for range 3 {
		r.note(ip("100.64.0.9"), fault)
		r.note(ip("192.168.1.7"), fault)
		r.note(ip("192.168.1.8"), fault)
	}
	told := r.take()
	if len(told) != 2 || told[0] != fault.Error() || !strings.Contains(told[1], "192.168.1.7 is outside the tailnet") {
		t.Errorf("told: %q", told)
	}
	r.note(ip("192.168.1.7"), fault)
	if told := r.take(); told != nil {
		t.Errorf("told again: %q", told)
	}
}
