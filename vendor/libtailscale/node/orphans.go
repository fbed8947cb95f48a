package node

import (
	"net"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// A connection that the host program has let go of may still have bytes for its
// peer, in its socketpair and in netstack. The host program neither counts it any
// more nor has a timer for it, and a peer that does not read could keep it for
// ever. So it is bounded here, as a kernel bounds its orphans.
const (
	departureGrace    = 3 * time.Second // nearly all are gone by then
	departuresSlow    = 256             // that may take longer than that; of more the oldest are reset
	departuresMost    = 1024            // in all; then none is let in
	departureInterval = 250 * time.Millisecond
)

// departureTime is how long a peer may take over what is left, some 450 KB at
// most. Guarded by conns.mu, for tests to change.
var departureTime = time.Minute

// departures are the connections that have been released and are not gone, and
// since when. Guarded by conns.mu, as is sweeping.
var (
	departures = map[*Conn]time.Time{}
	sweeping   bool
)

// depart is for a connection that is released, or is over after that. The
// caller holds conns.mu.
func depart(c *Conn) {
	if c.over && !undelivered(c.net) {
		delete(departures, c)
		delete(conns.m, c.ID)
		crowd.shrank(len(conns.m))
		return
	}
	if _, known := departures[c]; !known {
		departures[c] = time.Now()
	}
	if !sweeping {
		sweeping = true
		go sweep()
	}
}

// departing returns those that are not gone by now. The caller holds conns.mu.
func departing() (left []*Conn) {
	for c := range departures {
		depart(c)
		if _, still := departures[c]; still {
			left = append(left, c)
		}
	}
	return left
}

// sweep resets whatever has had its time, or a peer that has lost access, until
// there are no departures.
func sweep() {
	for {
		time.Sleep(departureInterval)
		conns.mu.Lock()
		left := departing()
		slices.SortFunc(left, func(a, b *Conn) int { return departures[a].Compare(departures[b]) })
		now := time.Now()
		older := func(than time.Duration) (n int) {
			for n < len(left) && now.Sub(departures[left[n]]) > than {
				n++
			}
			return n
		}
		last := max(older(departureTime), older(departureGrace)-departuresSlow)
		sweeping = len(left) > 0
		conns.mu.Unlock()
		if len(left) == 0 {
			return
		}
		for i, c := range left {
			if i < last || !c.admitted() {
				c.Abort()
				abortTCP(c.net) // it may have been closed before
			}
		}
	}
}

// admitted reports whether the peer of a connection still has access; nobody
// loses that to a node which dials.
func (c *Conn) admitted() bool {
	if c.listener == nil {
		return true
	}
	ok, err := c.node.CheckAccess(c.Remote.Addr(), c.Local)
	return ok || err != nil // a node that is being closed has a time of its own for them
}

// undelivered reports whether the peer has yet to confirm something that was
// sent, our side's end included.
func undelivered(c net.Conn) bool { return unconfirmed(stateOf(c)) }

func unconfirmed(state tcp.EndpointState) bool {
	switch state {
	case tcp.StateEstablished, tcp.StateCloseWait, tcp.StateFinWait1, tcp.StateLastAck, tcp.StateClosing:
		return true
	}
	return false
}
