package node

import (
	"net/netip"
	"strings"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/netmap"
)

// A translator turns notifications of tailscale's bus into events. It remembers what
// the translation of later ones needs.
type translator struct {
	serviceAddresses func(tailcfg.NodeCapMap) []netip.Addr
	netmap           func() *netmap.NetworkMap
	mustLog          bool
	expiry           time.Time // of the node key; zero: never
	lastError        Kind      // so that an error is not repeated
}

func (t *translator) eventsOf(notify *ipn.Notify) (events []Event) {
	add := func(e ...Event) { events = append(events, e...) }
	if st := notify.InitialStatus; st != nil && st.Self != nil {
		t.mustLog = st.Self.HasCap(tailcfg.CapabilityDataPlaneAuditLogs)
		if st.Self.KeyExpiry != nil {
			t.expiry = *st.Self.KeyExpiry
		}
		if len(st.Self.TailscaleIPs) > 0 {
			add(t.nameEvent(st.Self.DNSName, st.Self.TailscaleIPs, st.Self.CapMap), t.keyEvent())
		}
	}
	if self := notify.SelfChange; self != nil {
		t.mustLog = self.HasCap(tailcfg.CapabilityDataPlaneAuditLogs)
		t.expiry = self.KeyExpiry
		add(t.nameEvent(self.Name, hostAddrs(self), self.CapMap), t.keyEvent())
	}
	// A full netmap always comes with SelfChange.
	if notify.SelfChange != nil || len(notify.PeersChanged) > 0 || len(notify.PeersRemoved) > 0 {
		add(Event{Type: "netmap"})
	}
	if st := notify.State; st != nil {
		add(Event{Type: "state", State: st.String()})
		switch {
		case *st == ipn.NeedsLogin && t.expired():
			add(t.errorEvents(errf(KindExpired, "the node key expired at %s: log the node in again",
				t.expiry.UTC().Format(time.RFC3339)))...)
		case *st == ipn.Running && !t.mustLog:
			t.lastError = KindNone
		}
	}
	// The backend stays in state Running although the tailnet requires logging.
	if t.mustLog {
		add(t.errorEvents(errLogging())...)
	}
	if msg := notify.ErrMessage; msg != nil {
		add(t.errorEvents(classifyBackend(*msg))...)
	}
	if url := notify.BrowseToURL; url != nil && *url != "" {
		add(Event{Type: "login", LoginURL: *url})
	}
	return events
}

func (t *translator) expired() bool { return !t.expiry.IsZero() && t.expiry.Before(time.Now()) }

func (t *translator) keyEvent() Event {
	event := Event{Type: "key"}
	if !t.expiry.IsZero() {
		expiry := t.expiry.UTC()
		event.KeyExpiry = &expiry
	}
	return event
}

func (t *translator) errorEvents(err error) []Event {
	// The backend retries on its own when the control server is unreachable.
	if kind := KindOf(err); kind != t.lastError && kind != KindControl {
		t.lastError = kind
		return []Event{{Type: "error", Kind: kind, Error: err.Error()}}
	}
	return nil
}

func (t *translator) nameEvent(name string, addrs []netip.Addr, caps tailcfg.NodeCapMap) Event {
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
