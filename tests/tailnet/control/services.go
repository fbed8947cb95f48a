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

// A service is a Tailscale Service. Each client is assigned one of its hosts: nodes that
// the policy file approves, that are online and that advertise the Service.
type service struct {
	name      tailcfg.ServiceName
	addresses []netip.Addr
	assigned  map[tailcfg.NodeID]*node // host by client
	held      map[tailcfg.NodeID]bool  // clients that keep their host while it is online
}

// ServiceInfo describes a Service to an admin.
type ServiceInfo struct {
	Name      string            `json:"name"`
	Addresses []netip.Addr      `json:"addresses"`
	Hosts     []string          `json:"hosts"` // that accept clients now
	Led       map[string]string `json:"led"`   // host by client
}

// DefineService makes a Service, "svc:name", or returns the existing one.
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
			assigned: map[tailcfg.NodeID]*node{}, held: map[tailcfg.NodeID]bool{},
		})
		s.visibilityChanged()
	}
	return s.describe(s.service(name)), nil
}

// Service returns the state of a Service.
func (s *Server) Service(name string) (ServiceInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.service(name)
	if svc == nil {
		return ServiceInfo{}, fmt.Errorf("service %q: %w", name, ErrNotFound)
	}
	return s.describe(svc), nil
}

// HoldClient sets whether a client keeps its host although the host no longer advertises
// the Service.
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

// service returns the Service with this name, or nil. The caller holds s.mu.
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
		if s.acceptsClients(svc, n) {
			info.Hosts = append(info.Hosts, n.label())
		}
		if host := svc.assigned[n.ID]; host != nil {
			info.Led[n.label()] = host.label()
		}
	}
	return info
}

// identity returns the Service for the policy.
func (svc *service) identity() policy.Node {
	return policy.Node{ID: string(svc.name), Service: string(svc.name), Addresses: svc.addresses}
}

// approved reports whether n may host the Service.
func (s *Server) approved(svc *service, n *node) bool {
	return n.MachineAuthorized && s.policy.MayHost(n.identity(), string(svc.name))
}

// acceptsClients reports whether n is an available host of the Service.
func (s *Server) acceptsClients(svc *service, n *node) bool {
	return n.stream != nil && s.approved(svc, n) && slices.ContainsFunc(n.services, func(v *tailcfg.VIPService) bool {
		return v.Name == svc.name && v.Active && len(v.Ports) > 0
	})
}

// assignHosts assigns a host to every client that may reach a Service: its current one,
// or the one with the fewest clients. The caller holds s.mu.
func (s *Server) assignHosts() {
	for _, svc := range s.services {
		var hosts []*node
		clients := map[*node]int{}
		for _, n := range s.nodes {
			if s.acceptsClients(svc, n) {
				hosts = append(hosts, n)
			}
		}
		assigned := map[tailcfg.NodeID]*node{}
		var unassigned []*node
		for _, n := range s.nodes {
			host := svc.assigned[n.ID]
			switch {
			case s.approved(svc, n) || !s.policy.Reaches(n.identity(), svc.identity()):
			case slices.Contains(hosts, host), host != nil && svc.held[n.ID] && host.stream != nil:
				assigned[n.ID] = host
				clients[host]++
			default:
				unassigned = append(unassigned, n)
			}
		}
		for _, n := range unassigned {
			if len(hosts) == 0 {
				break
			}
			host := slices.MinFunc(hosts, func(a, b *node) int { return clients[a] - clients[b] })
			assigned[n.ID] = host
			clients[host]++
			s.epoch++
		}
		svc.assigned = assigned
	}
}

// shareService reports whether one of two nodes may host a Service that the other may
// reach.
func (s *Server) shareService(a, b *node) bool {
	return slices.ContainsFunc(s.services, func(svc *service) bool {
		return s.approved(svc, a) && s.policy.Reaches(b.identity(), svc.identity()) ||
			s.approved(svc, b) && s.policy.Reaches(a.identity(), svc.identity())
	})
}

// mappings returns the Services that n may host, in the format of its capability.
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
	text, _ := json.Marshal(all) // strings always encode
	return []tailcfg.RawMessage{tailcfg.RawMessage(text)}
}

// routes returns the addresses of Services for which n is assigned to host.
func (s *Server) routes(n, host *node) (out []netip.Prefix) {
	for _, svc := range s.services {
		if svc.assigned[n.ID] != host {
			continue
		}
		for _, ip := range svc.addresses {
			out = append(out, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	return out
}

// setServicesHash stores the hash of a node's Services. If it has changed, the node is
// asked for them. The caller holds s.mu.
func (n *node) setServicesHash(hash string) {
	if n.servicesHash == hash {
		return
	}
	n.servicesHash, n.ask = hash, hash != ""
	if hash == "" {
		n.services = nil
	}
}

// servicesRequest returns the request for a node's Services, which is sent with the next
// change; nil if there is none.
func (s *Server) servicesRequest(n *node) *tailcfg.PingRequest {
	if !n.ask {
		return nil
	}
	n.ask = false
	s.servicesRequests++
	return &tailcfg.PingRequest{
		URL:     fmt.Sprintf("%s/machine/services/%d", s.URL(), s.servicesRequests),
		Types:   "c2n",
		Payload: []byte("GET /vip-services HTTP/1.1\r\nHost: node\r\n\r\n"),
	}
}

// serveServices receives the answer to a servicesRequest.
func (s *Server) serveServices(w http.ResponseWriter, r *http.Request, machine key.MachinePublic) {
	var answer tailcfg.C2NVIPServicesResponse
	res, err := http.ReadResponse(bufio.NewReader(io.LimitReader(r.Body, maxRequest)), nil)
	if err == nil {
		defer res.Body.Close()
		err = json.NewDecoder(res.Body).Decode(&answer)
	}
	if err != nil {
		s.logf("control: the Services of a node: %v", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.find(func(n *node) bool { return n.Machine == machine }); n != nil && answer.ServicesHash == n.servicesHash {
		n.services = answer.VIPServices
		s.changed()
	}
}

// resolveService returns the address of a Service, given as its name without "svc:", with
// or without the tailnet's domain, or as an address.
func (s *Server) resolveService(from *node, host string) (netip.Addr, bool) {
	name := "svc:" + strings.TrimSuffix(strings.TrimSuffix(host, "."), "."+Domain)
	ip, _ := netip.ParseAddr(host)
	for _, svc := range s.services {
		i := slices.Index(svc.addresses, ip)
		if string(svc.name) == name {
			i = 0
		}
		if i >= 0 && svc.assigned[from.ID] != nil {
			return svc.addresses[i], true
		}
	}
	return netip.Addr{}, false
}
