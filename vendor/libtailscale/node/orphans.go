package node

import (
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// An orphan is a connection that the host program has released while data for its peer
// is still in the socketpair or in netstack. The host program no longer counts it or
// times it out, and a peer that does not read could keep it open forever. So the node
// bounds orphans, as a kernel does.
const (
	orphanGrace    = 3 * time.Second // nearly all are delivered by then
	slowOrphans    = 256             // how many may exceed orphanGrace; beyond, the oldest are reset
	maxOrphans     = 1024            // in total; beyond, new connections are refused
	orphanInterval = 250 * time.Millisecond
)

// orphanTimeout is how long a peer may take for the remaining data: some 450 KB, more only
// if its connection has been fast. Tests change it; it is guarded by conns.mu.
var orphanTimeout = time.Minute

// orphans maps each orphan to the time of its release. It is guarded by conns.mu, as is
// resettingOrphans.
var (
	orphans          = map[*Conn]time.Time{}
	resettingOrphans bool
)

// orphan removes a released connection if it is finished, and tracks it as an orphan
// otherwise. The caller holds conns.mu.
func orphan(c *Conn) {
	if c.finished && !mayHaveUnacked(c.state()) {
		delete(orphans, c)
		removeConn(c)
		return
	}
	if _, known := orphans[c]; !known {
		orphans[c] = time.Now()
	}
	if !resettingOrphans {
		resettingOrphans = true
		go resetOrphans()
	}
}

// remainingOrphans removes finished orphans and returns the others. The caller holds
// conns.mu.
func remainingOrphans() (remaining []*Conn) {
	for c := range orphans {
		orphan(c)
		if _, still := orphans[c]; still {
			remaining = append(remaining, c)
		}
	}
	return remaining
}

// resetOrphans resets orphans that have timed out or whose peer has lost access, until
// there are none.
func resetOrphans() {
	tick := time.NewTicker(orphanInterval)
	defer tick.Stop()
	for range tick.C {
		remaining, overdue := overdueOrphans(time.Now())
		if len(remaining) == 0 {
			return
		}
		for i, c := range remaining {
			if i < overdue || !c.mayStay() {
				c.Abort()
				c.endpoint.Abort() // Abort does nothing if the connection was closed before
			}
		}
	}
}

// overdueOrphans returns the orphans, oldest first, and how many of them have timed
// out.
func overdueOrphans(now time.Time) (remaining []*Conn, overdue int) {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	remaining = remainingOrphans()
	resettingOrphans = len(remaining) > 0
	slices.SortFunc(remaining, func(a, b *Conn) int { return orphans[a].Compare(orphans[b]) })
	older := func(age time.Duration) (n int) {
		for n < len(remaining) && now.Sub(orphans[remaining[n]]) > age {
			n++
		}
		return n
	}
	return remaining, max(older(orphanTimeout), older(orphanGrace)-slowOrphans)
}

// mayStay reports whether the orphan may deliver the rest of its data: its peer has
// access, or access can't be checked because the node is closing. In that case Close
// bounds the time of the connection.
func (c *Conn) mayStay() bool {
	ok, err := c.node.CheckAccess(c.Remote.Addr(), c.Local)
	return ok || err != nil
}

// state returns the TCP state of the connection.
func (c *Conn) state() tcp.EndpointState { return tcp.EndpointState(c.endpoint.State()) }

// mayHaveUnacked reports whether, in this state, the peer may have yet to acknowledge
// data or our FIN.
func mayHaveUnacked(state tcp.EndpointState) bool {
	switch state {
	case tcp.StateEstablished, tcp.StateCloseWait, tcp.StateFinWait1, tcp.StateLastAck, tcp.StateClosing:
		return true
	}
	return false
}
