package node

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

// newOrphans makes connections that the host program has released while the peer has
// yet to read data.
func newOrphans(t *testing.T, p *pair, count int) (nears []*peerEnd, released []*Conn) {
	for range count {
		near, far := p.connect()
		nears, released = append(nears, near), append(released, far.conn)
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
	return nears, released
}

func allRemoved(released []*Conn) bool {
	return !slices.ContainsFunc(released, func(c *Conn) bool { return lookup(c.ID) != nil })
}

func TestOrphanOfAPeerThatDoesNotReadIsReset(t *testing.T) {
	p := newPair(t)
	setTimeout := func(d time.Duration) {
		conns.mu.Lock()
		defer conns.mu.Unlock()
		orphanTimeout = d
	}
	setTimeout(2 * time.Second)
	defer setTimeout(time.Minute)
	nears, released := newOrphans(t, p, 10)
	eventually(t, "all orphans are removed", func() bool { return allRemoved(released) })
	for i, near := range nears {
		// On a slow machine the client's node may have received everything.
		if _, err := near.readAll(); (err != nil) != released[i].reset.Load() {
			t.Errorf("reset: %v; the peer read %v", released[i].reset.Load(), err)
		}
		near.close()
	}
}

func TestOrphanDeliversItsDataToAPeerThatReads(t *testing.T) {
	p := newPair(t)
	nears, released := newOrphans(t, p, 5)
	for _, near := range nears {
		if b, err := near.readAll(); err != nil || len(b) < 16<<10 {
			t.Errorf("%d bytes, then %v", len(b), err)
		}
		near.close()
	}
	eventually(t, "all orphans are removed", func() bool { return allRemoved(released) })
}
