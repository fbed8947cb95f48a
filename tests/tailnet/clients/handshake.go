package clients

import (
	"context"
	"net/netip"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/tailcfg"
)

// A handshake is the first exchange with a peer in an epoch of the tailnet.
type handshake struct {
	epoch uint64
	done  chan struct{}
}

// awaitHandshake waits until this client and a peer can exchange packets.
//
// A peer drops the WireGuard handshake of a node that is not in its netmap yet, and
// WireGuard retries it only after 5 s. Without the wait, a connection right after a
// change would sometimes take that long.
func (c *Client) awaitHandshake(ctx context.Context, peer netip.Addr) {
	epoch := c.control.Epoch()
	c.mu.Lock()
	h := c.peers[peer]
	if h == nil || h.epoch != epoch {
		h = &handshake{epoch, make(chan struct{})}
		c.peers[peer] = h
		go c.shakeHands(peer, h)
	}
	c.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-h.done:
	}
}

// shakeHands pings the peer, to which no policy applies, until it answers or 3 s have
// passed.
func (c *Client) shakeHands(peer netip.Addr, h *handshake) {
	const (
		patience = 3 * time.Second
		answer   = 150 * time.Millisecond // enough on an idle machine, and far less than 5 s
	)
	defer close(h.done)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lc, err := c.server.LocalClient()
	if err != nil {
		return
	}
	// The first ping bypasses WireGuard and shows that the peer has this client in its
	// netmap. The second goes through WireGuard.
	for !ping(ctx, lc, peer, tailcfg.PingDisco, answer) {
		if ctx.Err() != nil {
			return
		}
	}
	for wait := answer; !ping(ctx, lc, peer, tailcfg.PingTSMP, wait); wait *= 2 {
		if ctx.Err() != nil {
			return
		}
		// The handshake is lost, and only a new peer gets another one at once. Or the
		// machine is slow, and this discards a running handshake: so the next one gets
		// twice the time.
		c.control.ResendPeer(c.StableID, peer)
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
