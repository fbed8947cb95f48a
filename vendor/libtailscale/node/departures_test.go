package node

import (
	"errors"
	"os"
	"testing"
	"time"
)

// forsaken makes connections whose host program has finished with them and
// whose peer does not read what is left.
func forsaken(t *testing.T, p *pair, count int) (nears []end) {
	for range count {
		near, far := p.connect()
		nears = append(nears, near)
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
	return nears
}

func served() (n int) {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	for _, c := range conns.m {
		if c.listener != nil {
			n++
		}
	}
	return n
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
	nears := forsaken(t, p, 10)
	eventually(t, "all are given up", func() bool { return served() == 0 })
	for _, near := range nears {
		if _, err := near.readAll(); err == nil {
			t.Error("an answer that was cut came to a clean end")
		}
		near.close()
	}
}

func TestWhatAPeerHasYetToReadIsCountedAndDelivered(t *testing.T) {
	p := newPair(t)
	nears := forsaken(t, p, 5)
	if served() == 0 {
		t.Error("none is counted")
	}
	for _, near := range nears {
		if b, err := near.readAll(); err != nil || len(b) < 16<<10 {
			t.Errorf("%d bytes, then %v", len(b), err)
		}
		near.close()
	}
	eventually(t, "all are gone", func() bool { return served() == 0 })
}
