package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"tailscale.com/health"
	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
)

// Status is what a node knows of itself once it is up.
type Status struct {
	DNSName   string       `json:"dns_name"` // MagicDNS name, no final dot; "" without MagicDNS
	Addresses []netip.Addr `json:"addresses"`
	User      string       `json:"user,omitempty"` // login name of its owner; "" with tags
	Tags      []string     `json:"tags,omitempty"`
	Stored    bool         `json:"stored,omitempty"` // it was in the state folder already
	// Of the Service that the node hosts; empty before an admin or the policy file
	// has approved it as a host.
	ServiceAddresses []netip.Addr `json:"service_addresses,omitempty"`
	CertDomains      []string     `json:"cert_domains,omitempty"` // names for which it can have certificates
	MagicDNS         bool         `json:"magic_dns,omitempty"`    // names of nodes resolve in the tailnet

	mustLog bool // the tailnet requires log upload
}

// Up starts the node if need be and waits until it is a working member of the
// tailnet. It returns early with the reason when waiting can't help: no
// accepted key, a login or an approval is needed. When ctx ends first, the
// error says what was being waited for.
func (n *Node) Up(ctx context.Context) (*Status, error) { return n.up(ctx, false) }

// UpPatiently is Up for somebody who will log in or approve the device
// meanwhile: it goes on waiting where only a person can help.
func (n *Node) UpPatiently(ctx context.Context) (*Status, error) { return n.up(ctx, true) }

func (n *Node) up(ctx context.Context, patient bool) (*Status, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()

	if err := n.starting(ctx, n.Start); err != nil {
		return nil, err
	}

	w := waiter{node: n, patient: patient}
	var status *Status
	var err error
	// The bus drops a watcher that falls behind: then look again.
	again(ctx, "up", n.logf, func() bool {
		if status, err = w.watch(ctx); errors.Is(err, errOfferKey) {
			err = n.starting(ctx, n.offerKey)
		}
		return status != nil || err != nil
	})
	switch {
	case err != nil:
		return nil, err
	case status != nil:
		return status, n.hostNothing(ctx)
	}
	return nil, n.interrupted(ctx, w.trouble)
}

// A waiter waits for the node to come up.
type waiter struct {
	node    *Node
	patient bool
	trouble string // the last thing that tailscale complained about
}

var errOfferKey = errors.New("the stored node is not accepted, but there is a key")

// watch follows the backend until the node is up or has failed; neither when
// the backend stops telling.
func (w *waiter) watch(ctx context.Context) (*Status, error) {
	lc, err := w.node.client()
	if err != nil {
		return nil, err
	}
	watcher, err := lc.WatchIPNBus(ctx, ipn.NotifyInitialState|ipn.NotifyInitialHealthState)
	if err != nil {
		return nil, nil
	}
	// The watcher only notices the end of ctx when it reads; closing it wakes it.
	defer context.AfterFunc(ctx, func() { watcher.Close() })()
	defer watcher.Close()
	for {
		notify, err := watcher.Next()
		if err != nil {
			return nil, nil
		}
		if status, err := w.consider(ctx, &notify); status != nil || err != nil {
			return status, err
		}
	}
}

func (w *waiter) consider(ctx context.Context, notify *ipn.Notify) (*Status, error) {
	if notify.ErrMessage != nil {
		err := classifyBackend(*notify.ErrMessage)
		if KindOf(err) != KindControl {
			return nil, err
		}
		w.trouble = err.Error()
	}
	if notify.Health != nil {
		w.trouble = loginTrouble(notify.Health)
	}
	if url := notify.BrowseToURL; url != nil && *url != "" {
		if err := w.node.loginNeeded(*url); !w.patient || errors.Is(err, errOfferKey) {
			return nil, err
		}
	}
	if notify.State == nil {
		return nil, nil
	}
	switch *notify.State {
	case ipn.NeedsMachineAuth:
		if !w.patient {
			return nil, errf(KindApproval, "this device waits for approval by an admin of the tailnet")
		}
	case ipn.Running, ipn.Stopped:
		status, err := w.node.Status(ctx)
		switch {
		case err != nil:
			return nil, nil
		case status.mustLog:
			return nil, errLogging()
		case *notify.State == ipn.Running && len(status.Addresses) > 0:
			return status, nil
		}
	}
	return nil, nil
}

// loginNeeded says what to do when the control server wants somebody to log in.
func (n *Node) loginNeeded(url string) error {
	n.loginURL.Store(&url)
	n.mu.Lock()
	withheld, state := n.withheld, n.state
	n.mu.Unlock()
	switch {
	case withheld:
		return errOfferKey
	case state != nil && state.enrolled():
		return errf(KindExpired, "the tailnet no longer accepts the stored node: its key has expired or it was removed: "+
			"log it in at %s, or start with a new auth key", url)
	}
	return errf(KindLogin, "login needed: open %s, or start with an auth key", url)
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
	status := &Status{Addresses: st.TailscaleIPs, Stored: n.stored.Load(), CertDomains: st.CertDomains}
	status.MagicDNS = st.CurrentTailnet != nil && st.CurrentTailnet.MagicDNSEnabled
	if st.Self != nil {
		status.DNSName = strings.TrimSuffix(st.Self.DNSName, ".")
		if st.Self.Tags != nil && st.Self.Tags.Len() > 0 {
			status.Tags = st.Self.Tags.AsSlice()
		} else {
			status.User = st.User[st.Self.UserID].LoginName
		}
		status.ServiceAddresses = n.addressesOfService(st.Self.CapMap)
		status.mustLog = st.Self.HasCap(tailcfg.CapabilityDataPlaneAuditLogs)
	}
	return status, nil
}

// LoginURL returns the address at which somebody can log the node in; "" when
// none was asked for.
func (n *Node) LoginURL() string {
	if url := n.loginURL.Load(); url != nil {
		return *url
	}
	return ""
}

// interrupted says why Up gave up waiting.
func (n *Node) interrupted(ctx context.Context, trouble string) error {
	switch {
	case n.ctx.Err() != nil:
		return errf(KindClosed, "the node was closed while coming up")
	case errors.Is(ctx.Err(), context.Canceled):
		return errf(KindCanceled, "coming up was cancelled")
	case trouble != "":
		return errf(KindControl, "it did not let the node in before the deadline: %s", trouble)
	}
	return errf(KindControl, "the control server did not answer before the deadline")
}

// loginTrouble picks what keeps the node from logging in out of all warnings.
func loginTrouble(state *health.State) string {
	for _, code := range []health.WarnableCode{"login-state", "not-in-map-poll", "network-status"} {
		if warning, ok := state.Warnings[code]; ok {
			text := plainly(warning.Text)
			// "You are logged out. The last login error was: " is true and no help.
			if _, cause, ok := strings.Cut(text, "last login error was: "); ok {
				return cause
			}
			return text
		}
	}
	return ""
}

// An Outcome is how BeginUp ended. Without an error it has a status.
type Outcome struct {
	Kind     Kind    `json:"kind"`
	Error    string  `json:"error,omitempty"`
	LoginURL string  `json:"login_url,omitempty"`
	Status   *Status `json:"status,omitempty"`
}

// BeginUp is Up without waiting: the outcome arrives as one line of JSON on the
// non-blocking descriptor that it returns. Closing that cancels.
func (n *Node) BeginUp(timeout time.Duration) (fd int, err error) {
	ours, fd, err := socketpair()
	if err != nil {
		return -1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	go func() {
		ours.Read(make([]byte, 1)) // returns when either end is closed
		cancel()
	}()
	go func() {
		defer ours.Close()
		status, err := n.Up(ctx)
		out := Outcome{Status: status}
		if err != nil {
			out = Outcome{Kind: KindOf(err), Error: err.Error()}
			if out.Kind == KindLogin || out.Kind == KindExpired {
				out.LoginURL = n.LoginURL()
			}
		}
		json.NewEncoder(ours).Encode(out)
	}()
	return fd, nil
}
