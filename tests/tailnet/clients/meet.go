package clients

import (
	"context"
	"net/netip"
	"time"

	"tailscale.com/tailcfg"
)

// A meeting is the first exchange with a peer in an epoch of the tailnet.
type meeting struct {
	epoch uint64
	over  chan struct{}
}

// acquaint waits until the peer knows this client, if it has not before.
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

// meet pings the peer below IP, where no policy applies, until it answers. A
// peer that is away is not waited for long.
func (c *Client) meet(peer netip.Addr, m *meeting) {
	const (
		patience = 2 * time.Second
		repeat   = 50 * time.Millisecond
	)
	defer close(m.over)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lc, err := c.server.LocalClient()
	for err == nil && ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, repeat)
		pong, err := lc.Ping(attempt, peer, tailcfg.PingDisco)
		if err == nil && pong.Err == "" {
			cancel()
			return
		}
		<-attempt.Done()
		cancel()
	}
}
