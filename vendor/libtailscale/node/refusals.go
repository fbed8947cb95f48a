package node

import (
	"net/netip"
	"strings"
	"sync"

	"tailscale.com/net/tsaddr"
)

// refusals keeps, of each reason for which a connection's peer can't be told, the
// first case: an operator has to know of it once, and a crowd must not fill the log.
type refusals struct {
	mu     sync.Mutex
	noted  map[string]bool // by reason
	untold []string
}

func (r *refusals) note(src netip.Addr, err error) {
	reason, text := "owner", err.Error()
	switch {
	case !tsaddr.IsTailscaleIP(src), tsaddr.TailscaleViaRange().Contains(src):
		reason = "subnet"
		text = src.String() + " is outside the tailnet and comes through a subnet router, which hides who it is: run Tailscale on that client"
	case !strings.HasSuffix(text, noOwner):
		return // a peer that has just left, or whose key has expired
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.noted[reason] {
		return
	}
	if r.noted == nil {
		r.noted = map[string]bool{}
	}
	r.noted[reason] = true
	r.untold = append(r.untold, text)
}

// take returns what is to be told, once.
func (r *refusals) take() (untold []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	untold, r.untold = r.untold, nil
	return untold
}
