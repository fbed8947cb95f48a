package clients

import (
	"context"
	"net/netip"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/tailcfg"
)

// A meeting is the first exchange with a peer in an epoch of the tailnet.
type meeting struct {
	epoch uint64
	over  chan struct{}
}

// acquaint waits until this client and a peer can talk, if they have not before.
//
// A peer drops the WireGuard handshake of a node of which it has not been told
// yet, and WireGuard repeats one after 5 s only: without this, connections that
// are made right after a change would now and then take that long.
func (c *Client) acquaint(ctx context.Context, peer netip.Addr) {
	epoch := c.control.Epoch()
	c.mu.Lock()
	m := c.met[peer]
	if m == nil || m.epoch != epoch {
		m = &meeting{epoch, make(chan struct{})}
		c.met[peer] = m
		go c.meet(peer, m)
	}
	c.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-m.over:
	}
}

// meet pings the peer, where no policy applies, until it answers. A peer that
// is away is not waited for long.
func (c *Client) meet(peer netip.Addr, m *meeting) {
	const (
		patience = 3 * time.Second
		answer   = 150 * time.Millisecond // more than any takes, unless the machine is busy, and far less than 5 s
	)
	defer close(m.over)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lc, err := c.server.LocalClient()
	if err != nil {
		return
	}
	// The first goes beside WireGuard and tells that the peer has heard of this
	// client, the second goes through it.
	for !ping(ctx, lc, peer, tailcfg.PingDisco, answer) {
		if ctx.Err() != nil {
			return
		}
	}
	for wait := answer; !ping(ctx, lc, peer, tailcfg.PingTSMP, wait); wait *= 2 {
		if ctx.Err() != nil {
			return
		}
		// The handshake is lost, and only a new peer gets another one at once. Or
		// it takes longer on a busy machine: then this has just thrown it away,
		// and the next one is given twice the time.
		c.control.Reintroduce(c.StableID, peer)
	}
}

// ping reports whether the peer answered. It returns early only if it did.
func ping(ctx context.Context, lc *local.Client, peer netip.Addr, kind tailcfg.PingType, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	pong, err := lc.Ping(ctx, peer, kind)
	if err == nil && pong.Err == "" {
		return true
	}
	<-ctx.Done()
	return false
}
