package node

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

// forsaken makes connections whose host program has finished with them and
// whose peer does not read what is left.
func forsaken(t *testing.T, p *pair, count int) (nears []end, served []*Conn) {
	for range count {
		near, far := p.connect()
		nears, served = append(nears, near), append(served, far.conn)
		for chunk := make([]byte, 16<<10); ; {
			far.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			if _, err := far.Write(chunk); errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else {
				must(t, err)
			}
		}
		far.close()
	}
	return nears, served
}

func gone(served []*Conn) bool {
	return !slices.ContainsFunc(served, func(c *Conn) bool { return find(c.ID) != nil })
}

func TestWhatAPeerDoesNotReadIsGivenUp(t *testing.T) {
	p := newPair(t)
	patience := func(d time.Duration) {
		conns.mu.Lock()
		defer conns.mu.Unlock()
		departureTime = d
	}
	patience(2 * time.Second)
	defer patience(time.Minute)
	nears, served := forsaken(t, p, 10)
	eventually(t, "all are given up", func() bool { return gone(served) })
	for i, near := range nears {
		// On a slow machine the client's node may have taken everything.
		if _, err := near.readAll(); (err != nil) != served[i].reset.Load() {
			t.Errorf("cut: %v; the answer came to its end with %v", served[i].reset.Load(), err)
		}
		near.close()
	}
}

func TestWhatAPeerHasYetToReadIsDelivered(t *testing.T) {
	p := newPair(t)
	nears, served := forsaken(t, p, 5)
	for _, near := range nears {
		if b, err := near.readAll(); err != nil || len(b) < 16<<10 {
			t.Errorf("%d bytes, then %v", len(b), err)
		}
		near.close()
	}
	eventually(t, "all are gone", func() bool { return gone(served) })
}
