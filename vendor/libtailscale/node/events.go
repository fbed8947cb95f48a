package node

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
)

// An Event is a change in the node's life. One field beside Type is set.
type Event struct {
	Type      string     `json:"type"`                 // state, login, key, health, name
	State     string     `json:"state,omitempty"`      // NeedsLogin, NeedsMachineAuth, Starting, Running, Stopped
	LoginURL  string     `json:"login_url,omitempty"`  // where somebody must log the node in
	KeyExpiry *time.Time `json:"key_expiry,omitempty"` // when the node key expires; absent: never
	Warnings  []string   `json:"warnings"`             // all health warnings now in force, sorted
	Status    *Status    `json:"status,omitempty"`     // the name and addresses assigned
}

// Events returns a non-blocking descriptor that carries one JSON object per line
// for every Event, the current situation first. It ends with the node. The
// caller owns the descriptor.
func (n *Node) Events() (fd int, err error) {
	lc, err := n.client()
	if err != nil {
		return -1, err
	}
	mask := ipn.NotifyInitialState | ipn.NotifyInitialHealthState | ipn.NotifyInitialStatus
	watcher, err := lc.WatchIPNBus(n.ctx, mask)
	if err != nil {
		return -1, err
	}
	w, fd, err := socketpair()
	if err != nil {
		watcher.Close()
		return -1, err
	}
	stop := context.AfterFunc(n.ctx, func() { watcher.Close() })
	go func() {
		defer stop()
		defer watcher.Close()
		defer w.Close()
		out := json.NewEncoder(w)
		for {
			notify, err := watcher.Next()
			if err != nil {
				return
			}
			for _, event := range eventsOf(&notify) {
				if out.Encode(event) != nil {
					return // nobody reads any more
				}
			}
		}
	}()
	return fd, nil
}

func eventsOf(notify *ipn.Notify) (events []Event) {
	if st := notify.State; st != nil {
		events = append(events, Event{Type: "state", State: st.String()})
	}
	if url := notify.BrowseToURL; url != nil && *url != "" {
		events = append(events, Event{Type: "login", LoginURL: *url})
	}
	if h := notify.Health; h != nil {
		warnings := []string{}
		for _, w := range h.Warnings {
			warnings = append(warnings, strings.Join(strings.Fields(w.Text), " "))
		}
		slices.Sort(warnings)
		events = append(events, Event{Type: "health", Warnings: warnings})
	}
	if st := notify.InitialStatus; st != nil && st.Self != nil && len(st.Self.TailscaleIPs) > 0 {
		events = append(events,
			nameEvent(st.Self.DNSName, st.Self.TailscaleIPs),
			Event{Type: "key", KeyExpiry: st.Self.KeyExpiry})
	}
	if self := notify.SelfChange; self != nil {
		events = append(events, nameEvent(self.Name, hostAddrs(self)))
		event := Event{Type: "key"}
		if !self.KeyExpiry.IsZero() {
			event.KeyExpiry = &self.KeyExpiry
		}
		events = append(events, event)
	}
	return events
}

func nameEvent(name string, addrs []netip.Addr) Event {
	return Event{Type: "name", Status: &Status{DNSName: strings.TrimSuffix(name, "."), Addresses: addrs}}
}

func hostAddrs(n *tailcfg.Node) (out []netip.Addr) {
	for _, p := range n.Addresses {
		out = append(out, p.Addr())
	}
	return out
}
