package control

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"remote-ollama-proxy/tests/tailnet/policy"
)

// ErrNotFound is returned for an unknown node or Service.
var ErrNotFound = errors.New("no node of this tailnet has that name")

// Settings are the settings of a tailnet outside its policy file.
type Settings struct {
	// RequireApproval makes new devices wait for Approve.
	RequireApproval bool `json:"require_approval"`
	// RequireLogging turns off every node that refuses to upload logs.
	RequireLogging bool `json:"require_logging"`
	// OpenRegistration admits nodes that have neither a key nor a login, with the tags
	// that they request.
	OpenRegistration bool `json:"open_registration"`
	// CacheNetmaps allows nodes to cache the netmap and to start with it while the
	// control server is down.
	CacheNetmaps bool `json:"cache_netmaps"`
	// Certificates allows nodes to get certificates for their names.
	Certificates bool `json:"certificates"`
	// ClockAhead is the error of the control server's clock, such as "10m".
	ClockAhead string `json:"clock_ahead"`
	// NoIPv4 gives new nodes only an IPv6 address.
	NoIPv4 bool `json:"no_ipv4"`
	// NoTagProfile omits the user profile that owns tagged nodes, as headscale does.
	NoTagProfile bool `json:"no_tag_profile"`
	// NoMagicDNS disables MagicDNS.
	NoMagicDNS bool `json:"no_magic_dns"`
	// TokenStatus and CreateKeyStatus are the HTTP statuses with which the API refuses an
	// OAuth client a token or a key; 0: it does not.
	TokenStatus     int `json:"token_status"`
	CreateKeyStatus int `json:"create_key_status"`
	// Admins are the members of autogroup:admin, by login name.
	Admins []string `json:"admins"`
}

// SetPolicy replaces the policy. It rejects a policy with an error or a failing test.
func (s *Server) SetPolicy(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := policy.Parse(text, s.settings.Admins...)
	if err != nil {
		return err
	}
	s.policy, s.policyText = p, string(text)
	s.visibilityChanged()
	return nil
}

// Policy returns the policy file as it was set.
func (s *Server) Policy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policyText
}

// Settings returns the current settings.
func (s *Server) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// SetSettings replaces the settings. The policy must be valid with the new admins.
func (s *Server) SetSettings(settings Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := policy.Parse([]byte(s.policyText), settings.Admins...)
	if err != nil {
		return fmt.Errorf("admins: %w", err)
	}
	var ahead time.Duration
	if settings.ClockAhead != "" {
		if ahead, err = time.ParseDuration(settings.ClockAhead); err != nil {
			return fmt.Errorf("clock_ahead: %q is no duration: want one such as 90m or -1s", settings.ClockAhead)
		}
	}
	s.policy, s.settings, s.clockAhead = p, settings, ahead
	s.visibilityChanged()
	return nil
}

// NodeInfo describes a node to an admin.
type NodeInfo struct {
	Name      string       `json:"name"`
	DNSName   string       `json:"dns_name"`
	StableID  string       `json:"stable_id"`
	User      string       `json:"user,omitempty"`
	Tags      []string     `json:"tags,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
	KeyExpiry *time.Time   `json:"key_expiry"` // null: never
	Expired   bool         `json:"expired"`
	Approved  bool         `json:"approved"`
	Ephemeral bool         `json:"ephemeral"`
	Online    bool         `json:"online"`
}

// Nodes returns all nodes in the order in which they joined.
func (s *Server) Nodes() []NodeInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []NodeInfo{}
	for _, n := range s.nodes {
		info := NodeInfo{
			Name: n.label(), DNSName: n.label() + "." + Domain, StableID: string(n.StableID),
			User: n.user, Tags: n.Tags, Addresses: n.identity().Addresses,
			Expired: n.expired(time.Now()), Approved: n.MachineAuthorized, Ephemeral: n.ephemeral, Online: n.stream != nil,
		}
		if at := n.KeyExpiry; !at.IsZero() {
			info.KeyExpiry = &at
		}
		out = append(out, info)
	}
	return out
}

// changeNode applies f to the node with this name and notifies all nodes.
func (s *Server) changeNode(name string, f func(*node)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.named(name)
	if n == nil {
		return fmt.Errorf("node %q: %w", name, ErrNotFound)
	}
	f(n)
	s.visibilityChanged()
	return nil
}

// Remove removes a node from the tailnet and notifies it.
func (s *Server) Remove(name string) error { return s.changeNode(name, s.remove) }

// Forget deletes a node as headscale does: its stream stays open without a notification,
// and every other request of the node gets a 404.
func (s *Server) Forget(name string) error { return s.changeNode(name, s.forget) }

// Approve approves a device.
func (s *Server) Approve(name string) error {
	return s.changeNode(name, func(n *node) { n.MachineAuthorized = true })
}

// SetKeyExpiry sets when a node's key expires, in the past or the future; the zero time
// means never.
func (s *Server) SetKeyExpiry(name string, at time.Time) error {
	return s.changeNode(name, func(n *node) { s.setExpiry(n, at.UTC().Truncate(time.Millisecond)) })
}

// Resolve returns the address of a node or Service, given as a MagicDNS name, its first
// label or an address. The policy must make it visible to the node with this stable ID,
// and a Service must have a host.
func (s *Server) Resolve(stableID, host string) (netip.Addr, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to, i := s.named(stableID), s.named(host), 0
	if from != nil {
		if ip, ok := s.resolveService(from, host); ok {
			return ip, true
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		to = s.find(func(n *node) bool {
			i = slices.IndexFunc(n.Addresses, func(a netip.Prefix) bool { return a.Addr() == ip })
			return i >= 0
		})
	}
	if from == nil || to == nil || !to.MachineAuthorized || to.expired(time.Now()) || !s.policy.Sees(from.identity(), to.identity()) {
		return netip.Addr{}, false
	}
	return to.Addresses[i].Addr(), true
}

// ResendPeer removes a peer from a node's netmap and adds it again, so that the node
// begins a new WireGuard handshake with it.
func (s *Server) ResendPeer(stableID string, peer netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.named(stableID); n != nil && n.stream != nil {
		n.stream.resend = peer
		n.wake()
	}
}

// serveLoginPage serves a login URL.
func (s *Server) serveLoginPage(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "This login waits for POST /logins {\"url\": %q, \"user\": …} on the API of the test tailnet.\n", s.URL()+r.URL.Path)
}
