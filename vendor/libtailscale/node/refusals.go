package node

import (
	"errors"
	"net/netip"
	"sync"

	"tailscale.com/net/tsaddr"
)

// refusals collects why connections were refused because their peer could not be
// identified. It keeps the first case of each reason: the operator needs one, and many
// clients must not fill the log.
type refusals struct {
	mu      sync.Mutex
	seen    map[string]bool // by reason
	pending []string
}

func (r *refusals) add(src netip.Addr, err error) {
	reason, text := "owner", err.Error()
	switch {
	case !tsaddr.IsTailscaleIP(src), tsaddr.TailscaleViaRange().Contains(src):
		reason = "subnet"
		text = src.String() + " is outside the tailnet and comes through a subnet router, which hides who it is: run Tailscale on that client"
	case !errors.As(err, new(errNoOwner)):
		return // a peer that has just been removed, or whose key has expired
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[reason] {
		return
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[reason] = true
	r.pending = append(r.pending, text)
}

// take returns and clears the pending texts.
func (r *refusals) take() (pending []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pending, r.pending = r.pending, nil
	return pending
}
