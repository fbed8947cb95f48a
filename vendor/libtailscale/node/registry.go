package node

import (
	"slices"
	"sync"
)

// conns holds every connection until it is over, the host program has let go of
// it, and the peer has everything; see departures. One lock covers all its
// transitions, so that none of them can race.
var conns struct {
	mu sync.Mutex
	m  map[uint64]*Conn
}

// remember adds a connection; false if its node is closed.
func remember(c *Conn) bool {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	if c.node.ctx.Err() != nil {
		return false
	}
	if conns.m == nil {
		conns.m = map[uint64]*Conn{}
	}
	conns.m[c.ID] = c
	crowd.grew(len(conns.m))
	if c.listener != nil {
		c.listener.waiting++
	}
	return true
}

// forget ends what remember began, once: nothing is copied any more.
func forget(c *Conn) {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	c.over = true
	if !c.claimed {
		c.listener.waiting--
	}
	switch {
	case !c.claimed:
		delete(conns.m, c.ID)
		crowd.shrank(len(conns.m))
	case c.released:
		depart(c)
	}
	if c.after != nil {
		c.after()
	}
}

// Claim returns the connection with this id, which the host program has
// accepted and will release; nil when it was broken while it waited.
func Claim(id uint64) *Conn {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	c := conns.m[id]
	if c == nil || c.claimed {
		return nil
	}
	c.claimed = true
	c.listener.waiting--
	return c
}

// drop breaks the connections that nobody has accepted, of a listener that is closed.
func (l *listener) drop() {
	var all []*Conn
	conns.mu.Lock()
	for _, c := range conns.m {
		if c.listener == l && !c.claimed {
			all = append(all, c)
		}
	}
	conns.mu.Unlock()
	for _, c := range all {
		c.Abort()
	}
}

// full reports whether no more connections may wait.
func (l *listener) full() bool {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	return l.waiting >= backlog || len(departures) >= departuresMost && len(departing()) >= departuresMost
}

func find(id uint64) *Conn {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	return conns.m[id]
}

// WasReset reports whether the connection with this id was broken rather than
// ended.
func WasReset(id uint64) bool {
	c := find(id)
	return c != nil && c.reset.Load()
}

// Abort breaks the connection with this id: both sides see a reset. The host
// program must still release it.
func Abort(id uint64) {
	if c := find(id); c != nil {
		c.abortForHost()
	}
}

// abortForHost is Abort for a thread that must not wait.
func (c *Conn) abortForHost() {
	if c.mayWait() {
		c.reset.Store(true)
		go c.end()
		return
	}
	c.Abort()
}

// Release lets go of a claimed connection, whose descriptor is closed if it had
// one. With abort, the peer sees a reset even if all bytes had been passed on.
func Release(id uint64, abort bool) {
	conns.mu.Lock()
	c := conns.m[id]
	if c != nil {
		c.released = true
		depart(c)
	}
	conns.mu.Unlock()
	if c == nil {
		return
	}
	c.reader.stop()
	switch {
	case abort:
		c.abortForHost()
	case c.descriptor() == nil:
		go c.end() // netstack may wait for room among its packets, which the caller must not
	}
}

// abortOpen breaks every connection of a node that the host program still has
// open. What it has closed may go on to deliver its last bytes.
func abortOpen(n *Node) {
	var all []*Conn
	conns.mu.Lock()
	for _, c := range conns.m {
		if c.node == n && !c.over {
			all = append(all, c)
		}
	}
	released := func(c *Conn) bool {
		if pair := c.descriptor(); pair != nil {
			return hungUp(pair)
		}
		return c.released
	}
	all = slices.DeleteFunc(all, released)
	conns.mu.Unlock()
	for _, c := range all {
		c.Abort()
	}
}
