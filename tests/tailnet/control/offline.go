package control

import (
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// AddOfflineDevices adds n devices with these tags to the tailnet, which are never
// online.
func (s *Server) AddOfflineDevices(n int, tags []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		// A random name: freeLabel is slow with many nodes.
		d := s.add(key.NewMachine().Public(), "offline-"+key.NewNode().Public().ShortString())
		d.Key, d.DiscoKey, d.Tags = key.NewNode().Public(), key.NewDisco().Public(), tags
		d.User, d.MachineAuthorized = taggedDevices, true
		d.Cap, d.Hostinfo = tailcfg.CurrentCapabilityVersion, (&tailcfg.Hostinfo{OS: "linux"}).View()
	}
	s.visibilityChanged()
}
