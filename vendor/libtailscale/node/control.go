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

// Tailscale keeps one long poll open to the control server and says after eight
// minutes that it is gone. Of two things it says nothing: that the control server
// no longer knows the node, which headscale tells by answering 404 while it keeps
// the poll open, and that another process uses the same node key.
const (
	controlInterval = time.Second // between looks at the poll
	controlGrace    = 5 * time.Second
	// probeInterval is how often the control server is asked whether it still knows
	// the node: with the node's own update of itself, as it is.
	probeInterval = 30 * time.Second
	probeTimeout  = 5 * time.Second
	confirmPause  = time.Second // before a node is taken for deleted
	twinGrace     = 10 * time.Second
)

// watchControl follows how the control server and this node stand to each other
// until ctx ends.
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
				w.look(ctx, server, now)
			}
		}
	}
}

type controlWatcher struct {
	report  *report
	outOf   time.Time // since when there is no poll; zero: there is one
	probed  time.Time
	deleted bool
	polled  bool                     // this process has been in a poll
	own     map[key.DiscoPublic]bool // disco keys that this process has had
	twin    time.Time                // since when the control server knows another process's; zero: it does not
}

func (w *controlWatcher) look(ctx context.Context, server *tsnet.Server, now time.Time) {
	backend, err := backendOf(server)
	if err != nil || backend.State() != ipn.Running {
		w.outOf, w.deleted = time.Time{}, false // other events tell why
		w.report.setControl("", false)
		return
	}
	inPoll := server.Sys().HealthTracker.Get().GetInPollNetMap()
	w.lookForTwin(server, w.isCurrent(inPoll, now), now)
	switch {
	case inPoll && !w.outOf.IsZero():
		w.outOf, w.deleted = time.Time{}, false // a new poll: the control server knows the node
		w.report.setControl("", false)
		return
	case inPoll:
		// Tailscale's own control server tells a node that it was deleted.
		tells := ipn.IsLoginServerSynonym(server.ControlURL)
		if tells || !w.twin.IsZero() || now.Sub(w.probed) < probeInterval {
			return
		}
	case w.outOf.IsZero():
		w.outOf, w.probed = now, time.Time{}
		return
	case now.Sub(w.outOf) < controlGrace || now.Sub(w.probed) < probeInterval:
		return
	}
	w.probe(ctx, server)
}

// probe has the node tell the control server of itself and takes the answer.
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
	if err == nil || isUnknown(err) { // anything else says nothing about the node
		w.deleted = err != nil
	}
	trouble := ""
	switch {
	case w.deleted || w.outOf.IsZero():
	case err != nil:
		trouble = unreachable(causeOf(err))
	default:
		trouble = "the control server answers, but keeps no connection open: until it does, peers and rights stay as they were"
	}
	w.report.setControl(trouble, w.deleted)
}

// isUnknown reports whether the control server answered that it does not know the
// node. The words are controlclient's; tests/e2e/membership.rs holds them.
func isUnknown(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "initial fetch failed 404")
}

// causeOf says why an update of the node could not be sent.
func causeOf(err error) string {
	text := plainly(err.Error())
	if class := transportFault(text); class != "" {
		return class
	}
	if strings.Contains(text, "no noise key") {
		// The client fetches that key with its first request and takes its absence for
		// an old server. A server of another kind fails the login, which tells it.
		return "it has not answered since the start"
	}
	return text
}

// sendUpdate sends what tailscale's client sends whenever the node changes.
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

// controlOf returns the client that speaks to the control server.
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

// lookForTwin compares the disco key under which the control server knows this
// node, and sends peers to it, with those of this process.
func (w *controlWatcher) lookForTwin(server *tsnet.Server, current bool, now time.Time) {
	backend, err := backendOf(server)
	if err != nil {
		return
	}
	w.own[server.Sys().MagicSock.Get().DiscoPublicKey()] = true
	if netmap := backend.NetMapNoPeers(); netmap != nil && netmap.SelfNode.Valid() {
		w.compareKeys(netmap.SelfNode.DiscoKey(), current, now)
	}
}

// isCurrent reports whether the netmap is one that the control server keeps up to
// date. Before the first poll of this process it may be the cached one, and without
// a poll it grows old. A short gap does not count: two processes that have the same
// keys may end each other's polls.
func (w *controlWatcher) isCurrent(inPoll bool, now time.Time) bool {
	w.polled = w.polled || inPoll
	return w.polled && (inPoll || w.outOf.IsZero() || now.Sub(w.outOf) < controlGrace)
}

// compareKeys takes the disco key of the netmap. A netmap that is not current proves
// nothing: a cached one has the key of the process before this one.
func (w *controlWatcher) compareKeys(known key.DiscoPublic, current bool, now time.Time) {
	switch {
	case !current:
		w.twin = time.Time{}
	case known.IsZero() || w.own[known]:
		w.twin = time.Time{}
		w.report.setTwin(false)
	case w.twin.IsZero():
		w.twin = now
	case now.Sub(w.twin) >= twinGrace:
		w.report.setTwin(true)
	}
}
