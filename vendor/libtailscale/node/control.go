package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"tailscale.com/control/controlclient"
	"tailscale.com/ipn"
	"tailscale.com/tsnet"
	"tailscale.com/types/key"
)

// Tailscale keeps one long poll open to the control server and reports its loss after
// eight minutes. It does not report two things: that the control server no longer knows
// the node, which headscale signals by answering 404 while it keeps the poll open; and
// that another process uses the same node key.
const (
	controlInterval = time.Second // between checks of the poll
	controlGrace    = 5 * time.Second
	// probeInterval is how often the watcher asks the control server whether it still
	// knows the node, by sending the node's unchanged update.
	probeInterval  = 30 * time.Second
	probeTimeout   = 5 * time.Second
	confirmPause   = time.Second // between the two 404s that mean a deleted node
	duplicateGrace = 10 * time.Second
)

// watchControl checks the connection to the control server until ctx ends.
func (n *Node) watchControl(ctx context.Context, report *report) {
	w := controlWatcher{report: report, own: map[key.DiscoPublic]bool{}, probed: time.Now()}
	tick := time.NewTicker(controlInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if server, err := n.running(); err == nil {
				w.check(ctx, server, now)
			}
		}
	}
}

type controlWatcher struct {
	report         *report
	pollLost       time.Time // when the poll was lost; zero while there is one
	probed         time.Time
	deleted        bool
	polled         bool                     // this process has had a poll
	own            map[key.DiscoPublic]bool // disco keys that this process has had
	duplicateSince time.Time                // when the netmap first named another process's key; zero: it does not
}

func (w *controlWatcher) check(ctx context.Context, server *tsnet.Server, now time.Time) {
	backend, err := backendOf(server)
	if err != nil || backend.State() != ipn.Running {
		w.setReachable() // other events carry the reason
		return
	}
	inPoll := server.Sys().HealthTracker.Get().GetInPollNetMap()
	w.checkDuplicate(server, w.isCurrent(inPoll, now), now)
	switch {
	case inPoll && !w.pollLost.IsZero():
		w.setReachable() // a new poll: the control server knows the node
		return
	case inPoll:
		// Tailscale's own control server notifies a node that it deletes.
		notifies := ipn.IsLoginServerSynonym(server.ControlURL)
		if notifies || !w.duplicateSince.IsZero() || now.Sub(w.probed) < probeInterval {
			return
		}
	case w.pollLost.IsZero():
		w.pollLost, w.probed = now, time.Time{}
		return
	case now.Sub(w.pollLost) < controlGrace || now.Sub(w.probed) < probeInterval:
		return
	}
	w.probe(ctx, server)
}

func (w *controlWatcher) setReachable() {
	w.pollLost, w.deleted = time.Time{}, false
	w.report.setControl("", false)
}

// probe sends the node's update to the control server and evaluates the answer.
func (w *controlWatcher) probe(ctx context.Context, server *tsnet.Server) {
	err := sendUpdate(ctx, server)
	if isUnknown(err) && !w.deleted {
		select {
		case <-ctx.Done():
			return
		case <-time.After(confirmPause):
		}
		err = sendUpdate(ctx, server)
	}
	w.probed = time.Now()
	if ctx.Err() != nil {
		return
	}
	if err == nil || isUnknown(err) { // other errors say nothing about the node
		w.deleted = err != nil
	}
	warning := ""
	switch {
	case w.deleted || w.pollLost.IsZero():
	case err != nil:
		warning = unreachable(causeOf(err))
	default:
		warning = "the control server answers, but keeps no connection open: until it does, peers and rights stay as they were"
	}
	w.report.setControl(warning, w.deleted)
}

// isUnknown reports whether the control server answered that it does not know the
// node. The text is controlclient's; tests/e2e/membership.rs checks it.
func isUnknown(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "initial fetch failed 404")
}

// causeOf returns why an update of the node was not sent.
func causeOf(err error) string {
	text := normalize(err.Error())
	if class := networkFault(text); class != "" {
		return class
	}
	if strings.Contains(text, "no noise key") {
		// The client fetches that key with its first request and takes a missing key
		// for an old server. A server of another kind fails the login, which is
		// reported separately.
		return "it has not answered since the start"
	}
	return text
}

// sendUpdate sends what tailscale's client sends when the node changes.
func sendUpdate(ctx context.Context, server *tsnet.Server) error {
	direct, err := controlOf(server)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err = direct.SendUpdate(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", probeTimeout)
	}
	return err
}

// controlOf returns the client of the control server.
func controlOf(server *tsnet.Server) (*controlclient.Direct, error) {
	backend, err := backendOf(server)
	if err != nil {
		return nil, err
	}
	mu := privateAddr(backend, "mu").(sync.Locker)
	mu.Lock()
	auto := private(backend, "ccAuto").(*controlclient.Auto)
	mu.Unlock()
	if auto == nil {
		return nil, errors.New("there is no control client")
	}
	return private(auto, "direct").(*controlclient.Direct), nil
}

// checkDuplicate compares the disco key in the netmap, to which peers send, with the
// keys of this process.
func (w *controlWatcher) checkDuplicate(server *tsnet.Server, current bool, now time.Time) {
	backend, err := backendOf(server)
	if err != nil {
		return
	}
	w.own[server.Sys().MagicSock.Get().DiscoPublicKey()] = true
	if netmap := backend.NetMapNoPeers(); netmap != nil && netmap.SelfNode.Valid() {
		w.compareKeys(netmap.SelfNode.DiscoKey(), current, now)
	}
}

// isCurrent reports whether the control server keeps the netmap up to date. Before the
// first poll of this process it may be the cached one, and without a poll it becomes
// stale. A short gap is tolerated: two processes with the same keys may end each
// other's polls.
func (w *controlWatcher) isCurrent(inPoll bool, now time.Time) bool {
	w.polled = w.polled || inPoll
	return w.polled && (inPoll || w.pollLost.IsZero() || now.Sub(w.pollLost) < controlGrace)
}

// compareKeys evaluates the disco key of the netmap. A netmap that is not current
// proves nothing: a cached one names the key of the previous process.
func (w *controlWatcher) compareKeys(known key.DiscoPublic, current bool, now time.Time) {
	switch {
	case !current:
		w.duplicateSince = time.Time{}
	case known.IsZero() || w.own[known]:
		w.duplicateSince = time.Time{}
		w.report.setDuplicate(false)
	case w.duplicateSince.IsZero():
		w.duplicateSince = now
	case now.Sub(w.duplicateSince) >= duplicateGrace:
		w.report.setDuplicate(true)
	}
}
