package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// maxRequest bounds the body of a node's request, in bytes.
const maxRequest = 1 << 20

func decode(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func (s *Server) serveRegister(w http.ResponseWriter, r *http.Request, machine key.MachinePublic) {
	var req tailcfg.RegisterRequest
	if err := decode(r, &req); err != nil || req.NodeKey.IsZero() || req.Hostinfo == nil {
		http.Error(w, fmt.Sprintf("register request: %v", err), http.StatusBadRequest)
		return
	}
	if req.Followup != "" && !s.awaitLogin(r.Context(), req.Followup) {
		http.Error(w, "login: "+req.Followup+" is unknown, or was cancelled", http.StatusNotFound)
		return
	}
	res := s.register(machine, &req)
	if res.Error != "" {
		s.logf("control: %s refused: %s", req.Hostinfo.Hostname, res.Error)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(res)
}

// register admits a node, or returns why not.
func (s *Server) register(machine key.MachinePublic, req *tailcfg.RegisterRequest) tailcfg.RegisterResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.find(func(n *node) bool { return n.Key == req.NodeKey })
	switch {
	case s.gone[req.NodeKey] != nil:
		return tailcfg.RegisterResponse{NodeKeyExpired: true}
	case n != nil && n.Machine != machine:
		return tailcfg.RegisterResponse{Error: "node key is in use by another machine"}
	case n != nil && !req.Expiry.IsZero() && req.Expiry.Before(time.Now()):
		s.logOut(n)
		return s.registered(n)
	case n != nil && n.expired(time.Now()):
		return tailcfg.RegisterResponse{NodeKeyExpired: true} // the node registers again with a new key
	case n != nil:
		// A known node needs no key, but a key that it offers must be valid.
		if req.Auth != nil && req.Auth.AuthKey != "" {
			if _, err := s.redeemable(req.Auth.AuthKey); err != nil {
				return *refuse("%v", err)
			}
		}
		return s.registered(n)
	}
	admission, refusal := s.authenticate(req)
	if refusal != nil {
		return *refusal
	}
	n = s.find(func(n *node) bool { return n.Machine == machine })
	if n == nil {
		n = s.add(machine, req.Hostinfo.Hostname)
	}
	s.admit(n, req, admission)
	return s.registered(n)
}

// An admission holds the properties that a login or an auth key gives a node.
type admission struct {
	user        string
	tags        []string
	ephemeral   bool
	preapproved bool
	exempt      bool
}

// authenticate returns the admission of a node with a new node key.
func (s *Server) authenticate(req *tailcfg.RegisterRequest) (admission, *tailcfg.RegisterResponse) {
	var a admission
	var k *authKey
	wanted := req.Hostinfo.RequestTags
	switch {
	case req.Followup != "":
		a.user = s.logins[req.Followup].user
		delete(s.logins, req.Followup)
	case req.Auth != nil && req.Auth.AuthKey != "":
		var err error
		if k, err = s.redeemable(req.Auth.AuthKey); err != nil {
			return a, refuse("%v", err)
		}
		a = k.admission
		if len(a.tags) > 0 {
			if bad := without(wanted, a.tags); len(bad) > 0 {
				return a, refuse("requested tags %v are invalid or not permitted", bad)
			}
			wanted = nil
		}
	case s.settings.OpenRegistration:
		a.user, a.tags = "open@example.com", slices.Clone(wanted)
		wanted = nil
	default:
		return a, &tailcfg.RegisterResponse{AuthURL: s.beginLogin()}
	}
	var bad []string
	for _, tag := range wanted {
		if !s.policy.MayTag(a.user, tag) {
			bad = append(bad, tag)
		}
	}
	if len(bad) > 0 {
		return a, refuse("requested tags %v are invalid or not permitted", bad)
	}
	if len(wanted) > 0 {
		a.tags = slices.Clone(wanted)
	}
	if k != nil {
		k.used = true
	}
	return a, nil
}

func refuse(format string, args ...any) *tailcfg.RegisterResponse {
	return &tailcfg.RegisterResponse{Error: fmt.Sprintf(format, args...)}
}

func without(list, remove []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(remove, s) })
}

// admit applies an admission to a new or known node.
func (s *Server) admit(n *node, req *tailcfg.RegisterRequest, a admission) {
	n.Key, n.Cap, n.Hostinfo = req.NodeKey, req.Version, req.Hostinfo.View()
	n.user, n.Tags = a.user, a.tags
	n.ephemeral, n.exempt = a.ephemeral || req.Ephemeral, a.exempt
	n.MachineAuthorized = n.MachineAuthorized || a.preapproved || !s.settings.RequireApproval
	n.Endpoints, n.HomeDERP = nil, 0
	if len(n.Tags) > 0 {
		n.user, n.User = "", taggedDevices
		s.setExpiry(n, time.Time{})
	} else {
		n.User = s.user(a.user).ID
		s.setExpiry(n, time.Now().Add(userKeyLife).UTC().Truncate(time.Second))
	}
	s.logf("control: %s is %v", n.label(), n.identity())
	s.visibilityChanged()
}

func (s *Server) logOut(n *node) {
	if n.ephemeral {
		s.remove(n)
		return
	}
	s.setExpiry(n, time.Now().Add(-time.Second).UTC())
	s.changed()
}

func (s *Server) registered(n *node) tailcfg.RegisterResponse {
	res := tailcfg.RegisterResponse{MachineAuthorized: n.MachineAuthorized}
	for _, u := range s.users {
		if u.ID == n.User {
			res.User = tailcfg.User{ID: u.ID, DisplayName: u.DisplayName}
			res.Login = tailcfg.Login{ID: tailcfg.LoginID(u.ID), Provider: "test", LoginName: u.LoginName, DisplayName: u.DisplayName}
		}
	}
	return res
}

// awaitLogin waits until a user has logged in at url.
func (s *Server) awaitLogin(ctx context.Context, url string) bool {
	s.mu.Lock()
	l := s.logins[url]
	s.mu.Unlock()
	if l == nil {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-l.done:
		return true
	}
}
