package control

import (
	"context"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

// labels returns the names of peers, sorted.
func labels(peers []*tailcfg.Node) (out []string) {
	for _, p := range peers {
		out = append(out, (&node{Node: *p}).label())
	}
	slices.Sort(out)
	return out
}

// joined registers devices with one tag each, named after it.
func joined(t *testing.T, s *Server, names ...string) map[string]*node {
	t.Helper()
	out := map[string]*node{}
	for _, name := range names {
		newDevice(t, s, name).register(s.mustKey(t, KeyRequest{Tags: []string{"tag:" + name}}))
		out[name] = s.named(name)
	}
	return out
}

func (s *Server) viewOf(n *node) view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view(n, time.Now())
}

func TestVisiblePeersFollowThePolicy(t *testing.T) {
	s := newServer(t, Settings{})
	n := joined(t, s, "server", "client", "ci")
	for name, want := range map[string][]string{"server": {"client"}, "client": {"server"}, "ci": nil} {
		v := s.viewOf(n[name])
		if !slices.Equal(labels(v.peers), want) || (len(v.filter) > 0) != (name == "server") {
			t.Errorf("%s sees %v through %v", name, labels(v.peers), v.filter)
		}
	}
}

func TestOfflineDevicesAreVisible(t *testing.T) {
	s := newServer(t, Settings{})
	n := joined(t, s, "server")
	s.AddOfflineDevices(3, []string{"tag:client"})
	v := s.viewOf(n["server"])
	if len(v.peers) != 3 || len(v.filter) != 1 || len(v.filter[0].SrcIPs) != 6 || *v.peers[0].Online {
		t.Errorf("the server sees %v through %v", labels(v.peers), v.filter)
	}
}

func TestStreamSendsOnlyChanges(t *testing.T) {
	s := newServer(t, Settings{})
	n := joined(t, s, "server", "client")
	var sent sentState
	next := func() *tailcfg.MapResponse { return sent.difference(s.viewOf(n["server"])) }

	first := next()
	if first.Node == nil || len(first.Peers) != 1 || len(first.PacketFilters["policy"]) != 1 || first.ControlTime == nil {
		t.Fatalf("%+v", first)
	}
	if res := next(); res != nil {
		t.Errorf("sent without a change: %+v", res)
	}
	if err := s.SetKeyExpiry("client", time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	res := next()
	if len(res.PeersChanged) != 1 || !res.PeersChanged[0].Expired || res.PeersChanged[0].Key == n["client"].Key || res.Node != nil {
		t.Errorf("%+v", res)
	}
	if rules, ok := res.PacketFilters["policy"]; !ok || len(rules) > 0 {
		t.Errorf("an expired peer is still admitted: %+v", rules)
	}
	if err := s.SetKeyExpiry("client", time.Time{}); err != nil {
		t.Fatal(err)
	}
	next()
	if err := s.Remove("client"); err != nil {
		t.Fatal(err)
	}
	if res := next(); !slices.Equal(res.PeersRemoved, []tailcfg.NodeID{n["client"].ID}) {
		t.Errorf("%+v", res)
	}
	if err := s.Remove("server"); err != nil {
		t.Fatal(err)
	}
	if res := next(); res.Node == nil || !res.Node.KeyExpiry.Before(time.Now()) {
		t.Errorf("a removed node is not notified: %+v", res)
	}
}

func TestUnapprovedDevicesAreInvisible(t *testing.T) {
	s := newServer(t, Settings{})
	server := joined(t, s, "server")["server"]
	if err := s.SetSettings(Settings{RequireApproval: true}); err != nil {
		t.Fatal(err)
	}
	client := joined(t, s, "client")["client"]
	if v := s.viewOf(server); len(v.peers) != 0 || len(v.filter) != 0 {
		t.Errorf("%v", labels(v.peers))
	}
	if v := s.viewOf(client); len(v.peers) != 0 || v.self.MachineAuthorized {
		t.Errorf("%v", labels(v.peers))
	}
	if err := s.Approve("client"); err != nil {
		t.Fatal(err)
	}
	if v := s.viewOf(server); len(v.peers) != 1 || len(v.filter) == 0 {
		t.Errorf("%v", labels(v.peers))
	}
}

func TestRequiredLoggingExemptsOwnClients(t *testing.T) {
	s := newServer(t, Settings{RequireLogging: true})
	server := joined(t, s, "server")["server"]
	newDevice(t, s, "ours").register(s.mustKey(t, KeyRequest{Tags: []string{"tag:ci"}, Exempt: true}))
	if !s.viewOf(server).self.HasCap(tailcfg.CapabilityDataPlaneAuditLogs) {
		t.Error("the node has no such capability")
	}
	if s.viewOf(s.named("ours")).self.HasCap(tailcfg.CapabilityDataPlaneAuditLogs) {
		t.Error("an exempt node has the capability")
	}
}

func TestSettleWaitsForEveryStream(t *testing.T) {
	s := newServer(t, Settings{})
	server := joined(t, s, "server")["server"]
	ctx, disconnect := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.stream(ctx, &writer{w: httptest.NewRecorder()}, server)
	}()
	isOnline := func() bool { return s.Nodes()[0].Online }
	s.mu.Lock()
	for server.stream == nil || server.stream.sent == 0 {
		s.sent.Wait()
	}
	s.mu.Unlock()
	if err := s.SetPolicy([]byte(`{"grants": []}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	disconnect()
	<-ended
	if isOnline() {
		t.Error("a disconnected node is online")
	}
	// A stream that never sends must not block Settle forever.
	s.mu.Lock()
	server.stream = &stream{pending: make(chan struct{}, 1), replaced: make(chan struct{})}
	s.mu.Unlock()
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Settle(short); err == nil {
		t.Error("settled although the change was not sent")
	}
}

func TestPeerIsRemovedAndSentAgain(t *testing.T) {
	s := newServer(t, Settings{})
	n := joined(t, s, "server", "client")
	var sent sentState
	v := s.viewOf(n["server"])
	sent.difference(v)
	short := s.viewOf(n["server"]).without(n["client"].Addresses[1].Addr())
	if res := sent.difference(short); !slices.Equal(res.PeersRemoved, []tailcfg.NodeID{n["client"].ID}) {
		t.Errorf("%+v", res)
	}
	if res := sent.difference(v); !slices.Equal(labels(res.PeersChanged), []string{"client"}) {
		t.Errorf("%+v", res)
	}
}
