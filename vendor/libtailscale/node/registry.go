package node

import (
	"sync"
)

// conns holds the open connections. A connection stays until all three hold: it is
// finished, it is released, and its peer has acknowledged all data; see orphan. One
// lock covers all transitions, so that they can't race.
var conns struct {
	mu sync.Mutex
	m  map[uint64]*Conn
}

// addConn adds a connection; false if its node is closed.
func addConn(c *Conn) bool {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	if c.node.ctx.Err() != nil {
		return false
	}
	if conns.m == nil {
		conns.m = map[uint64]*Conn{}
	}
	conns.m[c.ID] = c
	connCapacity.grow(len(conns.m))
	c.listener.pending++
	return true
}

// removeConn removes a connection. The caller holds conns.mu.
func removeConn(c *Conn) {
	delete(conns.m, c.ID)
	c.uncountBuffers()
	connCapacity.shrink(len(conns.m))
}

// finish marks a connection on which nothing is copied any more.
func finish(c *Conn) {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	c.finished = true
	switch {
	case !c.claimed:
		c.listener.pending--
		removeConn(c)
	case c.released:
		orphan(c)
	}
}

// Claim accepts the connection with this id. The host program must release it. nil: it
// was reset while it waited.
func Claim(id uint64) *Conn {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	c := conns.m[id]
	if c == nil || c.claimed {
		return nil
	}
	c.claimed = true
	c.listener.pending--
	return c
}

// resetPending resets the unclaimed connections of a closed listener.
func (l *listener) resetPending() {
	abortAll(func(c *Conn) bool { return c.listener == l && !c.claimed })
}

// full reports whether the listener must refuse connections.
func (l *listener) full() bool {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	return l.pending >= backlog || len(orphans) >= maxOrphans && len(remainingOrphans()) >= maxOrphans
}

func lookup(id uint64) *Conn {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	return conns.m[id]
}

// Abort resets the connection with this id. The host program must still release it.
func Abort(id uint64) {
	if c := lookup(id); c != nil {
		c.abortNonblocking()
	}
}

// abortNonblocking is Conn.Abort for a thread that must not block.
func (c *Conn) abortNonblocking() {
	if c.backpressured() {
		c.reset.Store(true)
		go c.end()
		return
	}
	c.Abort()
}

// Release releases a claimed connection, whose descriptor is closed if it had one. The
// peer gets the pending data and a FIN; with abort, a reset.
func Release(id uint64, abort bool) {
	conns.mu.Lock()
	c := conns.m[id]
	if c != nil {
		c.released = true
		orphan(c)
	}
	conns.mu.Unlock()
	if c == nil {
		return
	}
	c.reader.stop()
	switch {
	case abort:
		c.abortNonblocking()
	case c.descriptor() == nil:
		go c.end() // netstack may block until its packet queue has room; the caller must not
	}
}

// abortOpen resets the connections of a node that the host program has not closed.
// Closed ones may still deliver their data.
func abortOpen(n *Node) {
	abortAll(func(c *Conn) bool {
		if c.node != n || c.finished {
			return false
		}
		if pair := c.descriptor(); pair != nil {
			return !hungUp(pair)
		}
		return !c.released
	})
}

// abortAll resets the connections that match. It calls match with conns.mu held.
func abortAll(match func(*Conn) bool) {
	var all []*Conn
	conns.mu.Lock()
	for _, c := range conns.m {
		if match(c) {
			all = append(all, c)
		}
	}
	conns.mu.Unlock()
	for _, c := range all {
		c.Abort()
	}
}
