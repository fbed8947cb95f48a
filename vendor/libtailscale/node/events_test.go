package node

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"testing"

	"tailscale.com/tailcfg"
)

// events reads a node's events.
type events struct {
	t     *testing.T
	lines *bufio.Scanner
}

func eventsOf(t *testing.T, n *Node) *events {
	t.Helper()
	fd, err := n.Events()
	must(t, err)
	f := os.NewFile(uintptr(fd), "events")
	ctx := deadline(t)
	t.Cleanup(func() { f.Close() })
	go func() {
		<-ctx.Done() // bounds the wait for an event
		f.Close()
	}()
	return &events{t, bufio.NewScanner(f)}
}

// until returns the next event that satisfies ok.
func (e *events) until(what string, ok func(Event) bool) Event {
	e.t.Helper()
	for e.lines.Scan() {
		var event Event
		must(e.t, json.Unmarshal(e.lines.Bytes(), &event))
		if ok(event) {
			return event
		}
	}
	e.t.Fatalf("the events ended before: %s", what)
	return Event{}
}

func ofType(name string) func(Event) bool { return func(e Event) bool { return e.Type == name } }
func ofKind(kind Kind) func(Event) bool {
	return func(e Event) bool { return e.Type == "error" && e.Kind == kind }
}

func TestEventsBeginWithTheCurrentState(t *testing.T) {
	n := newTailnet(t).upNode(t, "n")
	e := eventsOf(t, n)
	if name := e.until("the name", ofType("name")); name.Status.DNSName != "n.tailnet.test" || !slices.Equal(name.Status.Addresses, n.Addresses()) {
		t.Errorf("%+v", name.Status)
	}
	if key := e.until("the key's expiry", ofType("key")); key.KeyExpiry != nil {
		t.Errorf("the key expires: %v", key.KeyExpiry)
	}
	if state := e.until("the state", ofType("state")); state.State != "Running" {
		t.Errorf("%+v", state)
	}
	if health := e.until("the health", ofType("health")); health.Warnings == nil {
		t.Error("the event has no warnings")
	}
	must(t, n.Close())
	for e.lines.Scan() {
	}
	must(t, e.lines.Err()) // the stream ends with the node
}

func TestLoginURLIsAnEvent(t *testing.T) {
	tn := newTailnet(t)
	tn.RequireAuth = true
	n := tn.node(t, "n")
	login := eventsOf(t, n).until("a login is needed", ofType("login"))
	if !tn.CompleteAuth(login.LoginURL) {
		t.Errorf("no login at %q", login.LoginURL)
	}
}

func TestKeyExpiryIsAnEvent(t *testing.T) {
	tn := newTailnet(t)
	n := tn.upNode(t, "n")
	e := eventsOf(t, n)
	e.until("running", func(e Event) bool { return e.State == "Running" })
	tn.SetExpireAllNodes(true)
	e.until("when the key expires", func(e Event) bool { return e.Type == "key" && e.KeyExpiry != nil })
	t.Log(e.until("the key has expired", ofKind(KindExpired)).Error)
}

func TestRequiredLoggingIsAnEventForEachReader(t *testing.T) {
	tn := newTailnet(t)
	n := tn.upNode(t, "n")
	e := eventsOf(t, n)
	e.until("running", func(e Event) bool { return e.State == "Running" })
	tn.SetNodeCapMap(tn.AllNodes()[0].Key, tailcfg.NodeCapMap{tailcfg.CapabilityDataPlaneAuditLogs: nil})
	t.Log(e.until("the tailnet requires logging", ofKind(KindLogging)).Error)
	eventsOf(t, n).until("the tailnet requires logging", ofKind(KindLogging))
	if _, err := n.Up(deadline(t)); KindOf(err) != KindLogging {
		t.Errorf("up: %v", err)
	}
}

func TestPolicyChangeIsInForceWhenItsEventArrives(t *testing.T) {
	tn := newTailnet(t)
	const granted = "example.com/cap/models"
	n := tn.upNode(t, "n")
	src, dst := netip.MustParseAddr("100.64.0.9"), netip.AddrPortFrom(n.Addresses()[0], 80)
	rights := func() (bool, []tailcfg.RawMessage) {
		ok, err := n.CheckAccess(src, dst)
		must(t, err)
		caps, err := n.Capabilities(src, dst)
		must(t, err)
		return ok, caps[granted]
	}
	if ok, values := rights(); !ok || values != nil {
		t.Errorf("at first: access %v, capability %v", ok, values)
	}
	e := eventsOf(t, n)
	e.until("running", func(e Event) bool { return e.State == "Running" })

	tn.SetGlobalAppCaps(tailcfg.PeerCapMap{granted: {`{"model":"a"}`}})
	e.until("the policy grants something", func(e Event) bool {
		ok, values := rights()
		return e.Type == "netmap" && ok && slices.Equal(values, []tailcfg.RawMessage{`{"model":"a"}`})
	})
	key := tn.AllNodes()[0].Key
	stranger := []tailcfg.FilterRule{{
		SrcIPs: []string{"100.64.0.77"}, DstPorts: []tailcfg.NetPortRange{{IP: "*", Ports: tailcfg.PortRangeAny}},
	}}
	if !tn.AddRawMapResponse(key, &tailcfg.MapResponse{PacketFilter: stranger}) {
		t.Fatal("the node has no poll")
	}
	e.until("the policy allows a stranger alone", func(e Event) bool {
		ok, values := rights()
		return e.Type == "netmap" && !ok && values == nil
	})
}

func TestAddedAndRemovedPeersAreAnEvent(t *testing.T) {
	tn := newTailnet(t)
	n := tn.upNode(t, "n")
	e := eventsOf(t, n)
	e.until("running", func(e Event) bool { return e.State == "Running" })
	peer := tn.upNode(t, "peer")
	e.until("a peer was added", ofType("netmap"))
	who, err := n.identify(netip.AddrPortFrom(peer.Addresses()[0], 1))
	must(t, err)
	key := tn.AllNodes()[0].Key
	var id tailcfg.NodeID
	for _, node := range tn.AllNodes() {
		if node.StableID == tailcfg.StableNodeID(who.StableID) {
			id = node.ID
		} else {
			key = node.Key
		}
	}
	if !tn.AddRawMapResponse(key, &tailcfg.MapResponse{PeersRemoved: []tailcfg.NodeID{id}}) {
		t.Fatal("the node has no poll")
	}
	e.until("a peer was removed", func(event Event) bool {
		_, err := n.identify(netip.AddrPortFrom(peer.Addresses()[0], 1))
		return event.Type == "netmap" && err != nil
	})
}
