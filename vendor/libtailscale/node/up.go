package node

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"tailscale.com/health"
	"tailscale.com/ipn"
)

// Up starts the node if necessary and waits until it is a working member of the
// tailnet. It returns early if only a user can help: it needs a valid key, a login or
// an approval. If ctx ends first, the error names the last obstacle.
func (n *Node) Up(ctx context.Context) (*Status, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()

	if err := n.startWithin(ctx, n.Start); err != nil {
		return nil, err
	}

	w := upWatcher{node: n}
	var status *Status
	var err error
	// The bus drops a watcher that falls behind; then watch again.
	retry(ctx, "up", n.logf, func() bool {
		if status, err = w.watch(ctx); errors.Is(err, errOfferKey) {
			err = n.startWithin(ctx, n.offerKey)
		}
		return status != nil || err != nil
	})
	switch {
	case err != nil:
		return nil, err
	case status != nil:
		return status, n.clearHosted(ctx)
	}
	return nil, n.upCancelled(ctx, w.lastWarning)
}

// An upWatcher waits until the node is up.
type upWatcher struct {
	node        *Node
	lastWarning string // of tailscale
}

var errOfferKey = errors.New("the tailnet does not accept the stored node, but there is a key")

// watch follows tailscale's notifications until the node is up or has failed. It
// returns neither if the notifications end.
func (w *upWatcher) watch(ctx context.Context) (*Status, error) {
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
		if status, err := w.handle(ctx, &notify); status != nil || err != nil {
			return status, err
		}
	}
}

// handle returns a status if the notification means that the node is up, an error if it
// means that the node needs help, and neither otherwise.
func (w *upWatcher) handle(ctx context.Context, notify *ipn.Notify) (*Status, error) {
	if notify.ErrMessage != nil {
		err := classifyBackend(*notify.ErrMessage)
		if KindOf(err) != KindControl {
			return nil, err
		}
		w.lastWarning = err.Error()
	}
	if notify.Health != nil {
		w.lastWarning = loginWarning(notify.Health)
	}
	if url := notify.BrowseToURL; url != nil && *url != "" {
		return nil, w.node.loginNeeded(*url)
	}
	if notify.State == nil {
		return nil, nil
	}
	switch *notify.State {
	case ipn.NeedsMachineAuth:
		return nil, errf(KindApproval, "this device waits for approval by an admin of the tailnet")
	case ipn.Running, ipn.Stopped:
		status, err := w.node.status(ctx)
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

// loginNeeded returns the error for a node that the control server asks to log in.
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

// upCancelled returns why Up gave up.
func (n *Node) upCancelled(ctx context.Context, lastWarning string) error {
	switch {
	case n.ctx.Err() != nil:
		return errf(KindClosed, "the node was closed while it came up")
	case errors.Is(ctx.Err(), context.Canceled):
		return errf(KindCanceled, "coming up was cancelled")
	case lastWarning != "":
		return errf(KindControl, "the node was not accepted before the deadline: %s", lastWarning)
	}
	return errf(KindControl, "no answer before the deadline")
}

// loginWarning returns the warning that explains why the node is not logged in.
func loginWarning(state *health.State) string {
	for _, code := range []health.WarnableCode{"login-state", "not-in-map-poll", "network-status"} {
		if warning, ok := state.Warnings[code]; ok {
			text := normalize(warning.Text)
			if _, cause, ok := strings.Cut(text, lastLoginError); ok {
				return cause
			}
			return text
		}
	}
	return ""
}

// An UpResult is the outcome of BeginUp. It has a status unless it is a failure.
type UpResult struct {
	Failure
	LoginURL string  `json:"login_url,omitempty"`
	Status   *Status `json:"status,omitempty"`
}

// BeginUp is Up without waiting. It returns a non-blocking descriptor that will carry
// an UpResult as one line of JSON. Closing the descriptor cancels.
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
		json.NewEncoder(ours).Encode(n.upResult(ctx))
	}()
	return fd, nil
}

func (n *Node) upResult(ctx context.Context) UpResult {
	status, err := n.Up(ctx)
	if err == nil {
		return UpResult{Status: status}
	}
	result := UpResult{Failure: FailureOf(err)}
	if url := n.loginURL.Load(); url != nil && (result.Kind == KindLogin || result.Kind == KindExpired) {
		result.LoginURL = *url
	}
	return result
}
