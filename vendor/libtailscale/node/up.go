package node

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"tailscale.com/health"
	"tailscale.com/ipn"
)

// Status is what a node knows of itself once it is up.
type Status struct {
	DNSName   string       `json:"dns_name"` // MagicDNS name, no final dot; "" without MagicDNS
	Addresses []netip.Addr `json:"addresses"`
}

// Up starts the node if need be and waits until it is a working member of the
// tailnet. It returns early with the reason when waiting can't help: no
// accepted key, a login or an approval is needed. When ctx ends first, the
// error says what was being waited for.
func (n *Node) Up(ctx context.Context) (*Status, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n.upMu.Lock()
	n.cancelUp = cancel
	n.upMu.Unlock()

	lc, err := n.client()
	if err != nil {
		return nil, err
	}
	watcher, err := lc.WatchIPNBus(ctx, ipn.NotifyInitialState|ipn.NotifyInitialHealthState)
	if err != nil {
		return nil, n.upInterrupted(ctx, "")
	}
	// The watcher only notices the end of ctx when it reads; closing it wakes it.
	stop := context.AfterFunc(ctx, func() { watcher.Close() })
	defer stop()
	defer watcher.Close()

	trouble := "" // the last thing that tailscale complained about
	for {
		notify, err := watcher.Next()
		if err != nil {
			return nil, n.upInterrupted(ctx, trouble)
		}
		if notify.ErrMessage != nil {
			return nil, classifyBackend(*notify.ErrMessage)
		}
		if notify.Health != nil {
			trouble = loginTrouble(notify.Health)
		}
		if url := notify.BrowseToURL; url != nil && *url != "" {
			n.loginURL.Store(url)
			return nil, errf(KindLogin, "login needed: open %s, or start with an auth key", *url)
		}
		if notify.State == nil {
			continue
		}
		switch *notify.State {
		case ipn.NeedsMachineAuth:
			return nil, errf(KindApproval, "this device waits for approval by an admin of the tailnet")
		case ipn.Running:
			status, err := n.Status(ctx)
			if err != nil {
				return nil, n.upInterrupted(ctx, trouble)
			}
			if len(status.Addresses) > 0 {
				return status, nil
			}
		}
	}
}

// Status returns the node's name and addresses; both empty before it is up.
func (n *Node) Status(ctx context.Context) (*Status, error) {
	lc, err := n.client()
	if err != nil {
		return nil, err
	}
	st, err := lc.StatusWithoutPeers(ctx)
	if err != nil {
		return nil, err
	}
	status := &Status{Addresses: st.TailscaleIPs}
	if st.Self != nil {
		status.DNSName = strings.TrimSuffix(st.Self.DNSName, ".")
	}
	return status, nil
}

// CancelUp makes a running Up return with KindCanceled.
func (n *Node) CancelUp() {
	n.upMu.Lock()
	defer n.upMu.Unlock()
	if n.cancelUp != nil {
		n.cancelUp()
	}
}

// LoginURL returns the address at which somebody can log the node in; "" when
// none was asked for.
func (n *Node) LoginURL() string {
	if url := n.loginURL.Load(); url != nil {
		return *url
	}
	return ""
}

// upInterrupted says why Up gave up waiting.
func (n *Node) upInterrupted(ctx context.Context, trouble string) error {
	n.mu.Lock()
	closed := n.closed
	n.mu.Unlock()
	switch {
	case closed:
		return errf(KindClosed, "the node was closed while coming up")
	case errors.Is(context.Cause(ctx), context.Canceled):
		return errf(KindCanceled, "coming up was cancelled")
	case trouble != "":
		return errf(KindControl, "the control server did not let the node in before the deadline: %s", trouble)
	}
	return errf(KindControl, "the control server did not answer before the deadline")
}

// loginTrouble picks what keeps the node from logging in out of all warnings.
func loginTrouble(state *health.State) string {
	for _, code := range []health.WarnableCode{"login-state", "not-in-map-poll", "network-status"} {
		if warning, ok := state.Warnings[code]; ok {
			return strings.Join(strings.Fields(warning.Text), " ")
		}
	}
	return ""
}
