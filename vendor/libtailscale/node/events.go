package node

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/netmap"
)

// An Event is a change in the node's life. The fields that its type does not
// name are absent.
type Event struct {
	Type      string     `json:"type"`                 // state, login, name, key, health, membership, refused, netmap, clock, error
	State     string     `json:"state,omitempty"`      // NeedsLogin, NeedsMachineAuth, Starting, Running, Stopped
	LoginURL  string     `json:"login_url,omitempty"`  // where somebody must log the node in
	KeyExpiry *time.Time `json:"key_expiry,omitempty"` // when the node key expires; absent: never
	Warnings  *[]string  `json:"warnings,omitempty"`   // all health warnings now in force, sorted
	Status    *Status    `json:"status,omitempty"`     // the name and addresses assigned, those of the Service included, the owner or tags, MagicDNS, and for which names there are certificates
	Ahead     int64      `json:"ahead,omitempty"`      // seconds by which our clock is ahead of the control server's; 0: near enough
	Kind      Kind       `json:"kind,omitempty"`       // of an error
	Error     string     `json:"error,omitempty"`      // in words; of membership: why the node is none of the tailnet's, absent when it is one again
}

// Events returns a non-blocking descriptor that carries one JSON object per line
// for every Event, the current situation first. It ends with the node. The
// caller owns the descriptor.
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
	go n.tellUnsaid(ctx, out, report)
	go func() {
		defer ours.Close()
		// The bus drops a watcher that falls behind, and the server may start
		// anew with a key: then the situation is told again.
		again(ctx, "events", n.logf, func() bool { return n.tell(ctx, out, report) != nil })
	}()
	return fd, nil
}

// eventWriter writes events from several goroutines, each as one line.
type eventWriter struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (w *eventWriter) write(e Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Encode(e)
}

// filterInterval bounds how long a revoked right goes unnoticed.
const filterInterval = 100 * time.Millisecond

// tellUnsaid tells what tailscale says nowhere: when the packet filter has been
// replaced, of which the pointer is compared, when our clock goes wrong or is
// right again, and what is reported.
func (n *Node) tellUnsaid(ctx context.Context, out *eventWriter, report *report) {
	last, _ := n.filter()
	wrong := false
	tick := time.NewTicker(filterInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		events := report.due(time.Now())
		for _, text := range n.refusals.take() {
			events = append(events, Event{Type: "refused", Error: text})
		}
		for _, event := range events {
			if out.write(event) != nil {
				return
			}
		}
		// A server that starts anew has none for a moment.
		if live, err := n.filter(); err == nil && live != last {
			last = live
			if out.write(Event{Type: "netmap"}) != nil {
				return
			}
		}
		server, err := n.running()
		if err != nil {
			continue
		}
		if ahead := skew(server); (ahead != 0) != wrong {
			wrong = ahead != 0
			if out.write(Event{Type: "clock", Ahead: int64(ahead.Seconds())}) != nil {
				return
			}
		}
	}
}

// tell writes events until the backend stops telling; it fails when nobody
// reads or no backend is left.
func (n *Node) tell(ctx context.Context, out *eventWriter, report *report) error {
	lc, err := n.client()
	if err != nil {
		return err
	}
	// With peer patches the bus also tells of peers that come, go or change;
	// patches themselves (who is online, where) change nobody's rights.
	watcher, err := lc.WatchIPNBus(ctx, ipn.NotifyInitialState|ipn.NotifyInitialHealthState|
		ipn.NotifyInitialStatus|ipn.NotifyPeerPatches)
	if err != nil {
		return ctx.Err()
	}
	defer context.AfterFunc(ctx, func() { watcher.Close() })()
	defer watcher.Close()
	t := teller{serviceAddresses: n.addressesOfService, netmap: n.netmap}
	for {
		notify, err := watcher.Next()
		if err != nil {
			return ctx.Err()
		}
		if notify.Health != nil {
			report.setHealth(notify.Health)
		}
		for _, event := range t.eventsOf(&notify) {
			if err := out.write(event); err != nil {
				return err
			}
		}
	}
}

// A teller turns notifications into events. It remembers what a later one needs
// to be understood.
type teller struct {
	serviceAddresses func(tailcfg.NodeCapMap) []netip.Addr
	netmap           func() *netmap.NetworkMap
	mustLog          bool
	expiry           time.Time // of the node key; zero: never
	told             Kind      // the error told last, so that none is told twice
}

func (t *teller) eventsOf(notify *ipn.Notify) (events []Event) {
	add := func(e Event) { events = append(events, e) }
	if st := notify.InitialStatus; st != nil && st.Self != nil {
		t.mustLog = st.Self.HasCap(tailcfg.CapabilityDataPlaneAuditLogs)
		if st.Self.KeyExpiry != nil {
			t.expiry = *st.Self.KeyExpiry
		}
		if len(st.Self.TailscaleIPs) > 0 {
			add(t.nameEvent(st.Self.DNSName, st.Self.TailscaleIPs, st.Self.CapMap))
			add(t.keyEvent())
		}
	}
	if self := notify.SelfChange; self != nil {
		t.mustLog = self.HasCap(tailcfg.CapabilityDataPlaneAuditLogs)
		t.expiry = self.KeyExpiry
		add(t.nameEvent(self.Name, hostAddrs(self), self.CapMap))
		add(t.keyEvent())
	}
	// A full netmap, whatever changed in it, comes with SelfChange.
	if notify.SelfChange != nil || len(notify.PeersChanged) > 0 || len(notify.PeersRemoved) > 0 {
		add(Event{Type: "netmap"})
	}
	if st := notify.State; st != nil {
		add(Event{Type: "state", State: st.String()})
		switch {
		case *st == ipn.NeedsLogin && t.expired():
			events = append(events, t.errorEvents(errf(KindExpired, "the node key expired at %s: log the node in again",
				t.expiry.UTC().Format(time.RFC3339)))...)
		case *st == ipn.Running && !t.mustLog:
			t.told = KindNone
		}
	}
	// Whatever the state: it goes on saying Running until something else happens.
	if t.mustLog {
		events = append(events, t.errorEvents(errLogging())...)
	}
	if msg := notify.ErrMessage; msg != nil {
		events = append(events, t.errorEvents(classifyBackend(*msg))...)
	}
	if url := notify.BrowseToURL; url != nil && *url != "" {
		add(Event{Type: "login", LoginURL: *url})
	}
	return events
}

func (t *teller) expired() bool { return !t.expiry.IsZero() && t.expiry.Before(time.Now()) }

func (t *teller) keyEvent() Event {
	event := Event{Type: "key"}
	if !t.expiry.IsZero() {
		expiry := t.expiry.UTC()
		event.KeyExpiry = &expiry
	}
	return event
}

func (t *teller) errorEvents(err error) []Event {
	// The backend deals with an unwilling control server by itself.
	if kind := KindOf(err); kind != t.told && kind != KindControl {
		t.told = kind
		return []Event{{Type: "error", Kind: kind, Error: err.Error()}}
	}
	return nil
}

func (t *teller) nameEvent(name string, addrs []netip.Addr, caps tailcfg.NodeCapMap) Event {
	status := &Status{
		DNSName: strings.TrimSuffix(name, "."), Addresses: addrs, ServiceAddresses: t.serviceAddresses(caps),
	}
	if nm := t.netmap(); nm != nil && nm.SelfNode.Valid() {
		status.CertDomains, status.MagicDNS = nm.DNS.CertDomains, nm.DNS.Proxied
		status.Tags = nm.SelfNode.Tags().AsSlice()
		if owner := nm.UserProfiles[nm.User()]; len(status.Tags) == 0 && owner.Valid() {
			status.User = owner.LoginName()
		}
	}
	return Event{Type: "name", Status: status}
}

func hostAddrs(n *tailcfg.Node) (out []netip.Addr) {
	for _, p := range n.Addresses {
		out = append(out, p.Addr())
	}
	return out
}
