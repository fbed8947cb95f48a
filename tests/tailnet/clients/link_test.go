package clients

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestLinkDelaysAndLosesPackets(t *testing.T) {
	p := newPair(t)
	near, far := p.connect(t)
	const delay = 20 * time.Millisecond
	p.relay.Stop() // which the packets would take until the way through the link is known
	must(t, p.client.SetLink(Link{Delay: delay, Loss: 0.05, Seed: 1}))
	for range 20 {
		begun := time.Now()
		exchange(t, near, far)
		if took := time.Since(begun); took < 2*delay {
			t.Errorf("there and back in %v", took)
		}
	}
	if p.client.LinkBytes() == 0 {
		t.Error("no packet took the link")
	}
	must(t, p.client.RemoveLink())
	exchange(t, near, far)
}

func TestEveryLineLosesTheSamePackets(t *testing.T) {
	lost := func(l *link, on line) (numbers []int) {
		for i := range 1000 {
			if _, ok := l.take(on); !ok {
				numbers = append(numbers, i)
			}
		}
		return numbers
	}
	var l link
	l.set(Link{Loss: 0.1, Seed: 7})
	first, second := lost(&l, line{peer: netip.MustParseAddrPort("127.0.0.1:1")}), lost(&l, line{peer: netip.MustParseAddrPort("127.0.0.1:2")})
	if len(first) < 50 || len(first) > 150 || !slices.Equal(first, second) {
		t.Errorf("lost %v and %v", first, second)
	}
	if l.set(Link{}); len(lost(&l, line{})) > 0 {
		t.Error("a link without loss loses packets")
	}
}
