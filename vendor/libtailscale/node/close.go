package node

import (
	"errors"
	"time"

	"tailscale.com/tsnet"
)

const (
	// flushTimeout bounds the wait for acknowledgements. A peer acknowledges within a
	// round trip; a peer that has vanished never does.
	flushTimeout  = time.Second
	flushInterval = 2 * time.Millisecond

	// resetTime is how long a reset may take to leave this machine. Peers don't
	// acknowledge resets, and a peer that misses one waits until it times out.
	resetTime = 100 * time.Millisecond

	// closeTimeout bounds how long a server may take to stop. One that takes longer
	// never stops.
	closeTimeout = 10 * time.Second
)

// Close stops the node. It resets open connections. Connections that the host program
// has closed get up to flushTimeout to deliver their data. Listeners and event streams
// end.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return ErrClosed
	}
	n.closed = true
	server, state := n.server, n.state
	n.mu.Unlock()
	n.cancel()
	abortOpen(n) // first, while the network still works
	err := n.awaitStart()
	if server == nil {
		return err
	}
	for end := time.Now().Add(flushTimeout); hasUnacked(server) && time.Now().Before(end); {
		time.Sleep(flushInterval)
	}
	time.Sleep(time.Until(time.Unix(0, n.lastReset.Load()).Add(resetTime)))
	err = errors.Join(err, shutDown(server))
	state.release()
	return err
}

// awaitStart waits until a concurrent Start has noticed that the node is closed and has
// undone its work: after Close, the caller may remove the state folder or use it again.
func (n *Node) awaitStart() error {
	return within(closeTimeout, func() {
		n.startMu.Lock()
		n.startMu.Unlock()
	})
}

func shutDown(server *tsnet.Server) error {
	return within(closeTimeout, func() {
		resetAll(server)
		closeIdle(server)
		server.Close() // fails only if it is closed already
	})
}

// within runs f and fails if that takes longer than limit.
func within(limit time.Duration, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return nil
	case <-time.After(limit):
		return errf(KindOther, "stop the node: timed out (limit=%v)", limit)
	}
}
