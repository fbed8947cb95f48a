package control

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"tailscale.com/tailcfg"
)

const servicePolicy = `{
	"tagOwners": {"tag:one": [], "tag:two": [], "tag:other": [], "tag:a": [], "tag:b": [], "tag:c": [], "tag:stranger": []},
	"autoApprovers": {"services": {"svc:ollama": ["tag:one", "tag:two"]}},
	"grants": [
		{"src": ["tag:a", "tag:b", "tag:c"], "dst": ["svc:ollama"], "ip": ["tcp:80"], "app": {"example.com/cap/x": [{}]}},
		{"src": ["tag:stranger"], "dst": ["tag:one"], "ip": ["tcp:80"]},
	],
}`

// serviceTailnet has two hosts of one Service, a node that advertises it without
// approval, and clients.
func serviceTailnet(t *testing.T) (*Server, map[string]*node) {
	t.Helper()
	s := newServer(t, Settings{})
	if err := s.SetPolicy([]byte(servicePolicy)); err != nil {
		t.Fatal(err)
	}
	n := joined(t, s, "one", "two", "other", "a", "b", "c", "stranger")
	for _, name := range []string{"one", "two", "other"} {
		s.advertise(n[name], true)
	}
	if _, err := s.DefineService("svc:ollama"); err != nil {
		t.Fatal(err)
	}
	return s, n
}

// advertise makes an online node advertise the Service, or stop.
func (s *Server) advertise(n *node, active bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.stream == nil {
		n.stream = &stream{pending: make(chan struct{}, 1)}
	}
	n.services = []*tailcfg.VIPService{{Name: "svc:ollama", Ports: []tailcfg.ProtoPortRange{{Proto: 6, Ports: tailcfg.PortRange{First: 80, Last: 80}}}, Active: active}}
	s.changed()
}

func wantAssigned(t *testing.T, s *Server, want map[string]string) {
	t.Helper()
	info, err := s.Service("svc:ollama")
	if err != nil || !maps.Equal(info.Led, want) {
		t.Errorf("assigned %v, want %v (%v)", info.Led, want, err)
	}
}

func TestClientsAreSpreadOverTheHostsOfAService(t *testing.T) {
	s, n := serviceTailnet(t)
	wantAssigned(t, s, map[string]string{"a": "one", "b": "two", "c": "one"})
	info, _ := s.Service("svc:ollama")
	if !slices.Equal(info.Hosts, []string{"one", "two"}) {
		t.Errorf("hosts: %v", info.Hosts)
	}
	routes := func(client string) (out []string) {
		for _, p := range s.viewOf(n[client]).peers {
			for _, ip := range info.Addresses {
				if slices.Contains(p.AllowedIPs, netip.PrefixFrom(ip, ip.BitLen())) {
					out = append(out, p.Name)
				}
			}
		}
		return out
	}
	if got := routes("b"); !slices.Equal(got, []string{"two.tailnet.test.", "two.tailnet.test."}) {
		t.Errorf("b is routed to %v", got)
	}
	if got := routes("stranger"); got != nil {
		t.Errorf("a stranger is routed to %v", got)
	}
	if err := s.HoldClient("svc:ollama", "a", true); err != nil {
		t.Fatal(err)
	}
	s.advertise(n["one"], false)
	wantAssigned(t, s, map[string]string{"a": "one", "b": "two", "c": "two"})
	if err := s.HoldClient("svc:ollama", "a", false); err != nil {
		t.Fatal(err)
	}
	wantAssigned(t, s, map[string]string{"a": "two", "b": "two", "c": "two"})
	s.advertise(n["one"], true)
	wantAssigned(t, s, map[string]string{"a": "two", "b": "two", "c": "two"}) // clients keep their host
	s.advertise(n["one"], false)
	s.advertise(n["two"], false)
	wantAssigned(t, s, map[string]string{})
	if _, ok := s.Resolve(string(n["a"].StableID), "ollama"); ok {
		t.Error("a Service without a host has an address")
	}
}

func TestHostReceivesTheAddressesOfItsServices(t *testing.T) {
	s, n := serviceTailnet(t)
	info, _ := s.Service("svc:ollama")
	host, other := s.viewOf(n["one"]), s.viewOf(n["other"])
	mappings, err := tailcfg.UnmarshalNodeCapJSON[tailcfg.ServiceIPMappings](host.self.CapMap, tailcfg.NodeAttrServiceHost)
	if err != nil || len(mappings) != 1 || !slices.Equal(mappings[0]["svc:ollama"], info.Addresses) {
		t.Errorf("%v, %v", mappings, err)
	}
	if _, ok := other.self.CapMap[tailcfg.NodeAttrServiceHost]; ok {
		t.Error("an unapproved node hosts a Service")
	}
	var dsts []string
	for _, rule := range host.filter {
		for _, dst := range rule.DstPorts {
			dsts = append(dsts, dst.IP)
		}
	}
	for _, ip := range info.Addresses {
		if !slices.Contains(dsts, ip.String()) {
			t.Errorf("the filter has no %v: %v", ip, dsts)
		}
	}
	if !slices.Equal(labels(host.peers), []string{"a", "b", "c", "stranger"}) {
		t.Errorf("the host sees %v", labels(host.peers))
	}
}

func TestNodeIsAskedForItsServicesOncePerHash(t *testing.T) {
	s, n := serviceTailnet(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	host := n["one"]
	host.setServicesHash("hash")
	if q := s.servicesRequest(host); q == nil || q.Types != "c2n" {
		t.Errorf("%+v", q)
	}
	host.setServicesHash("hash")
	if q := s.servicesRequest(host); q != nil {
		t.Errorf("asked again: %+v", q)
	}
	if host.setServicesHash(""); host.services != nil || s.servicesRequest(host) != nil {
		t.Error("a node without Services still has some")
	}
}

func TestUnknownServiceIsAnError(t *testing.T) {
	s, _ := serviceTailnet(t)
	if _, err := s.DefineService("ollama"); err == nil {
		t.Error("a Service without svc:")
	}
	if _, err := s.Service("svc:x"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.HoldClient("svc:ollama", "x", true); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
