package node

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"tailscale.com/ipn"
)

// An Event is a change of the node. Fields that its type does not use are absent.
type Event struct {
	Type      string     `json:"type"`                 // state, login, name, key, health, membership, refused, netmap, clock, error
	State     string     `json:"state,omitempty"`      // NeedsLogin, NeedsMachineAuth, Starting, Running, Stopped
	LoginURL  string     `json:"login_url,omitempty"`  // where a user can log the node in
	KeyExpiry *time.Time `json:"key_expiry,omitempty"` // of the node key; absent: never
	Warnings  *[]string  `json:"warnings,omitempty"`   // all current health warnings, sorted
	Status    *Status    `json:"status,omitempty"`     // of name
	Ahead     int64      `json:"ahead,omitempty"`      // seconds by which the local clock is ahead; 0: within maxSkew
	Kind      Kind       `json:"kind,omitempty"`       // of an error
	Error     string     `json:"error,omitempty"`      // of membership: why the node is no longer in the tailnet; absent once it is again
}

// Events returns a non-blocking descriptor that carries one line of JSON for each
// Event, and first the current state. It ends with the node. The caller owns it.
func (n *Node) Events() (fd int, err error) {
	if _, err := n.client(); err != nil {
		return -1, err
	}
	ours, fd, err := socketpair()
	if err != nil {
		return -1, err
	}
	ctx, cancel := context.WithCancel(n.ctx)
	go func() {
		ours.Read(make([]byte, 1)) // returns when either end is closed
		cancel()
	}()
	out := &eventWriter{out: json.NewEncoder(ours)}
	report := &report{}
	go n.watchControl(ctx, report)
	go n.pollEvents(ctx, out, report)
	go func() {
		defer ours.Close()
		// The bus drops a watcher that falls behind, and the server may restart with a
		// key. A new watcher receives the current state again.
		retry(ctx, "events", n.logf, func() bool { return n.watchBus(ctx, out, report) != nil })
	}()
	return fd, nil
}

// eventWriter writes events from several goroutines, one on each line.
type eventWriter struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (w *eventWriter) write(events ...Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		if err := w.out.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

// pollInterval bounds the delay until a revoked right is noticed.
const pollInterval = 100 * time.Millisecond

// pollEvents writes the events of which tailscale has no notification: a replaced
// packet filter, a wrong clock, and what report and refusals collect.
func (n *Node) pollEvents(ctx context.Context, out *eventWriter, report *report) {
	p := poller{node: n, report: report}
	p.filter, _ = n.filter()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if out.write(p.poll(now)...) != nil {
				return
			}
		}
	}
}

// watchBus writes the events of tailscale's notification bus until the bus ends. It
// fails when out is closed or the node has no backend any more.
func (n *Node) watchBus(ctx context.Context, out *eventWriter, report *report) error {
	lc, err := n.client()
	if err != nil {
		return err
	}
	// With peer patches the bus also notifies added, removed and changed peers. The
	// patches themselves (online, endpoints) change no rights.
	watcher, err := lc.WatchIPNBus(ctx, ipn.NotifyInitialState|ipn.NotifyInitialHealthState|
		ipn.NotifyInitialStatus|ipn.NotifyPeerPatches)
	if err != nil {
		return ctx.Err()
	}
	defer context.AfterFunc(ctx, func() { watcher.Close() })()
	defer watcher.Close()
	t := translator{serviceAddresses: n.serviceAddresses, netmap: n.netmap}
	for {
		notify, err := watcher.Next()
		if err != nil {
			return ctx.Err()
		}
		if notify.Health != nil {
			report.setHealth(notify.Health)
		}
		if err := out.write(t.eventsOf(&notify)...); err != nil {
			return err
		}
	}
}
