package control

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"remote-ollama-proxy/tests/tailnet/policy"
	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// A service is a Tailscale Service: addresses of which each client is led to one
// host, out of those that the policy file approves, that are online and that
// advertise it.
type service struct {
	name      tailcfg.ServiceName
	addresses []netip.Addr
	led       map[tailcfg.NodeID]*node // by client
	held      map[tailcfg.NodeID]bool  // clients that stay where they are while their host is online
}

// ServiceInfo is what an admin sees of a Service.
type ServiceInfo struct {
	Name      string            `json:"name"`
	Addresses []netip.Addr      `json:"addresses"`
	Hosts     []string          `json:"hosts"` // to which clients may be led now
	Led       map[string]string `json:"led"`   // the host of each client that may reach the Service
}

// DefineService makes a Service, "svc:name", or returns the one there is.
func (s *Server) DefineService(name string) (ServiceInfo, error) {
	if err := tailcfg.ServiceName(name).Validate(); err != nil {
		return ServiceInfo{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.service(name) == nil {
		v4 := netip.AddrFrom4([4]byte{100, 127, 0, byte(len(s.services) + 1)})
		s.services = append(s.services, &service{
			name: tailcfg.ServiceName(name), addresses: []netip.Addr{v4, tsaddr.Tailscale4To6(v4)},
			led: map[tailcfg.NodeID]*node{}, held: map[tailcfg.NodeID]bool{},
		})
		s.regrouped()
	}
	return s.describe(s.service(name)), nil
}

// Service tells how a Service stands.
func (s *Server) Service(name string) (ServiceInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.service(name)
	if svc == nil {
		return ServiceInfo{}, fmt.Errorf("service %q: %w", name, ErrNotFound)
	}
	return s.describe(svc), nil
}

// HoldClient has a client stay with its host although that no longer advertises
// the Service, or no longer.
func (s *Server) HoldClient(name, client string, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc, n := s.service(name), s.named(client)
	if svc == nil || n == nil {
		return fmt.Errorf("service %q, client %q: %w", name, client, ErrNotFound)
	}
	svc.held[n.ID] = on
	s.changed()
	return nil
}

// service finds a Service; nil if there is none. The caller holds s.mu.
func (s *Server) service(name string) *service {
	for _, svc := range s.services {
		if string(svc.name) == name {
			return svc
		}
	}
	return nil
}

func (s *Server) describe(svc *service) ServiceInfo {
	info := ServiceInfo{Name: string(svc.name), Addresses: svc.addresses, Hosts: []string{}, Led: map[string]string{}}
	for _, n := range s.nodes {
		if s.takesClients(svc, n) {
			info.Hosts = append(info.Hosts, n.label())
		}
		if host := svc.led[n.ID]; host != nil {
			info.Led[n.label()] = host.label()
		}
	}
	return info
}

// identity is the Service as the policy sees it.
func (svc *service) identity() policy.Node {
	return policy.Node{ID: string(svc.name), Service: string(svc.name), Addresses: svc.addresses}
}

// approved reports whether n may host the Service.
func (s *Server) approved(svc *service, n *node) bool {
	return n.MachineAuthorized && s.policy.MayHost(n.identity(), string(svc.name))
}

// takesClients reports whether clients may be led to n.
func (s *Server) takesClients(svc *service, n *node) bool {
	return n.stream != nil && s.approved(svc, n) && slices.ContainsFunc(n.services, func(told *tailcfg.VIPService) bool {
		return told.Name == svc.name && told.Active && len(told.Ports) > 0
	})
}

// lead gives every client that may reach a Service a host, the one that it has
// or the one with the fewest. The caller holds s.mu.
func (s *Server) lead() {
	for _, svc := range s.services {
		var hosts []*node
		clients := map[*node]int{}
		for _, n := range s.nodes {
			if s.takesClients(svc, n) {
				hosts = append(hosts, n)
			}
		}
		led := map[tailcfg.NodeID]*node{}
		var others []*node
		for _, n := range s.nodes {
			host := svc.led[n.ID]
			switch {
			case s.approved(svc, n) || !s.policy.Reaches(n.identity(), svc.identity()):
			case slices.Contains(hosts, host), host != nil && svc.held[n.ID] && host.stream != nil:
				led[n.ID] = host
				clients[host]++
			default:
				others = append(others, n)
			}
		}
		for _, n := range others {
			if len(hosts) == 0 {
				break
			}
			host := slices.MinFunc(hosts, func(a, b *node) int { return clients[a] - clients[b] })
			led[n.ID] = host
			clients[host]++
			s.epoch++
		}
		svc.led = led
	}
}

// meet reports whether one of two nodes may be led to the other.
func (s *Server) meet(a, b *node) bool {
	return slices.ContainsFunc(s.services, func(svc *service) bool {
		return s.approved(svc, a) && s.policy.Reaches(b.identity(), svc.identity()) ||
			s.approved(svc, b) && s.policy.Reaches(a.identity(), svc.identity())
	})
}

// mappings are the Services that n may host, as it is told of them.
func (s *Server) mappings(n *node) []tailcfg.RawMessage {
	all := tailcfg.ServiceIPMappings{}
	for _, svc := range s.services {
		if s.approved(svc, n) {
			all[svc.name] = svc.addresses
		}
	}
	if len(all) == 0 {
		return nil
	}
	text, _ := json.Marshal(all) // strings alone
	return []tailcfg.RawMessage{tailcfg.RawMessage(text)}
}

// routes are the addresses of Services for which n is led to host.
func (s *Server) routes(n, host *node) (out []netip.Prefix) {
	for _, svc := range s.services {
		if svc.led[n.ID] != host {
			continue
		}
		for _, ip := range svc.addresses {
			out = append(out, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	return out
}

// toldServices notes what a node says that the hash of its Services is, and asks for them
// if that is another. The caller holds s.mu.
func (n *node) toldServices(hash string) {
	if n.servicesHash == hash {
		return
	}
	n.servicesHash, n.asking = hash, hash != ""
	if hash == "" {
		n.services = nil
	}
}

// question asks a node for its Services. It is told of it with the next change.
func (s *Server) question(n *node) *tailcfg.PingRequest {
	if !n.asking {
		return nil
	}
	n.asking = false
	s.questions++
	return &tailcfg.PingRequest{
		URL:     fmt.Sprintf("%s/machine/services/%d", s.URL(), s.questions),
		Types:   "c2n",
		Payload: []byte("GET /vip-services HTTP/1.1\r\nHost: node\r\n\r\n"),
	}
}

// serveServices takes the answer.
func (s *Server) serveServices(w http.ResponseWriter, r *http.Request, machine key.MachinePublic) {
	var told tailcfg.C2NVIPServicesResponse
	res, err := http.ReadResponse(bufio.NewReader(io.LimitReader(r.Body, maxRequest)), nil)
	if err == nil {
		defer res.Body.Close()
		err = json.NewDecoder(res.Body).Decode(&told)
	}
	if err != nil {
		s.logf("control: the Services of a node: %v", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.find(func(n *node) bool { return n.Machine == machine }); n != nil && told.ServicesHash == n.servicesHash {
		n.services = told.VIPServices
		s.changed()
	}
}

// resolveService finds the address that host means if it is a Service's: its name
// without "svc:", in the tailnet's domain or not, or an address.
func (s *Server) resolveService(from *node, host string) (netip.Addr, bool) {
	name := "svc:" + strings.TrimSuffix(strings.TrimSuffix(host, "."), "."+Domain)
	ip, _ := netip.ParseAddr(host)
	for _, svc := range s.services {
		i := slices.Index(svc.addresses, ip)
		if string(svc.name) == name {
			i = 0
		}
		if i >= 0 && svc.led[from.ID] != nil {
			return svc.addresses[i], true
		}
	}
	return netip.Addr{}, false
}
