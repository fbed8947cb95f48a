package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// certDomains returns the names for which n can get certificates. The caller holds s.mu.
func (s *Server) certDomains(n *node) []string {
	if !s.settings.Certificates {
		return nil
	}
	return []string{strings.TrimSuffix(n.Name, ".")}
}

// serveSetDNS adds the record that answers an ACME server's challenge for the node's own
// name. It refuses any other record.
func (s *Server) serveSetDNS(w http.ResponseWriter, r *http.Request, machine key.MachinePublic) {
	var req tailcfg.SetDNSRequest
	if err := decode(r, &req); err != nil {
		http.Error(w, fmt.Sprintf("set-dns request: %v", err), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	n := s.find(func(n *node) bool { return n.Key == req.NodeKey && n.Machine == machine })
	name, challenge := strings.CutPrefix(req.Name, "_acme-challenge.")
	may := n != nil && challenge && req.Type == "TXT" && slices.Contains(s.certDomains(n), name)
	s.mu.Unlock()
	if !may || s.SetTXT == nil {
		http.Error(w, fmt.Sprintf("%s %s is not a record of this node", req.Type, req.Name), http.StatusForbidden)
		return
	}
	s.SetTXT(req.Name, req.Value)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(tailcfg.SetDNSResponse{})
}
