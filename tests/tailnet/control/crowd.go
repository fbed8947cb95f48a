package control

import (
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// Crowd adds n devices with these tags that nobody runs: they are in the netmap
// of everybody whom the policy connects with them, and never online.
func (s *Server) Crowd(n int, tags []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		// The names have to differ, and looking for a free one takes long.
		d := s.add(key.NewMachine().Public(), "crowd-"+key.NewNode().Public().ShortString())
		d.Key, d.DiscoKey, d.Tags = key.NewNode().Public(), key.NewDisco().Public(), tags
		d.User, d.MachineAuthorized = taggedDevices, true
		d.Cap, d.Hostinfo = tailcfg.CurrentCapabilityVersion, (&tailcfg.Hostinfo{OS: "linux"}).View()
	}
	s.regrouped()
}
