// Package control is the control server of a test tailnet. It registers nodes and sends
// each its netmap and packet filter, in the protocol of tailscale's client.
//
// It does not use tailscale.com/tstest/integration/testcontrol. That server can't remove
// nodes, has at most one auth key, invents its users, and ends the process on an unknown
// request.
package control

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"remote-ollama-proxy/tests/tailnet/loopback"
	"remote-ollama-proxy/tests/tailnet/policy"
	"tailscale.com/control/controlhttp/controlhttpserver"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// Domain is the MagicDNS suffix of the tailnet.
const Domain = "tailnet.test"

// A Server is the control server of one tailnet. Its methods are safe for concurrent
// use. Each change is sent to all nodes at once.
type Server struct {
	http    *loopback.Server
	noise   key.MachinePrivate
	derpMap *tailcfg.DERPMap
	logf    logger.Logf

	// SetTXT adds a DNS record, by which a node proves to an ACME server that it owns a
	// name. May be nil.
	SetTXT func(name, value string)

	mu         sync.Mutex
	sent       *sync.Cond // signals that a stream has sent a change or ended
	change     uint64     // counts changes of the fields below
	epoch      uint64     // counts changes that may make nodes visible to each other
	policy     *policy.Policy
	policyText string
	settings   Settings
	clockAhead time.Duration
	nodes      []*node // in order of ID
	gone       map[key.NodePublic]*node
	lastID     tailcfg.NodeID
	users      []tailcfg.UserProfile
	keys       map[string]*authKey
	// by secret, and by access token
	oauthClients, oauthTokens map[string]*oauthClient
	logins                    map[string]*login // by URL
	services                  []*service
	servicesRequests          int // sent to nodes
}

// Listen starts a control server whose policy allows everything, like that of a new
// tailnet.
func Listen(addr string, derpMap *tailcfg.DERPMap, logf logger.Logf) (*Server, error) {
	s := &Server{
		noise: key.NewMachine(), derpMap: derpMap, logf: logf,
		gone: map[key.NodePublic]*node{}, keys: map[string]*authKey{}, logins: map[string]*login{},
		oauthClients: map[string]*oauthClient{}, oauthTokens: map[string]*oauthClient{},
		users: []tailcfg.UserProfile{{ID: taggedDevices, LoginName: "tagged-devices", DisplayName: "Tagged Devices"}},
	}
	s.sent = sync.NewCond(&s.mu)
	const open = `{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}`
	if err := s.SetPolicy([]byte(open)); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /key", s.serveKey)
	mux.HandleFunc("/ts2021", s.serveNoise)
	mux.HandleFunc("GET /a/{id}", s.serveLoginPage)
	mux.HandleFunc("POST /api/v2/oauth/token", s.serveToken)
	mux.HandleFunc("POST /api/v2/tailnet/-/keys", s.serveCreateKey)
	var err error
	s.http, err = loopback.Listen(addr, mux, nil, logf)
	return s, err
}

// URL returns the URL for nodes.
func (s *Server) URL() string { return "http://" + s.http.Addr() }

// Stop makes the server unreachable and resets every connection; new ones are reset or
// held, see [loopback.Server.Stop]. It keeps its state. It reports whether the server was
// reachable.
//
// A node whose attempt to reconnect is reset retries after 10 s at the earliest. One that
// is held is served as soon as Start is called.
func (s *Server) Stop(hold bool) bool { return s.http.Stop(hold) }

// Start makes the server reachable again at the same address.
func (s *Server) Start() bool { return s.http.Start() }

// Close ends the server.
func (s *Server) Close() { s.http.Close() }

// changed counts a change and wakes all streams. The caller holds s.mu.
func (s *Server) changed() {
	s.change++
	s.assignHosts()
	for _, n := range s.nodes {
		n.wake()
	}
}

// visibilityChanged counts a change that may make nodes visible to each other. The caller
// holds s.mu.
func (s *Server) visibilityChanged() {
	s.epoch++
	s.changed()
}

// Epoch counts the changes that may have made nodes visible to each other.
func (s *Server) Epoch() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// Settle waits until the current state has been sent to every online node, or ctx ends. A
// node applies it some milliseconds later, without an acknowledgement.
func (s *Server) Settle(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sent.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	want := s.change
	for _, n := range s.nodes {
		for n.stream != nil && n.stream.sent < want {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.sent.Wait()
		}
	}
	return nil
}

func (s *Server) serveKey(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(tailcfg.OverTLSPublicKeyResponse{
		LegacyPublicKey: s.noise.Public(), // must be set, but is not used
		PublicKey:       s.noise.Public(),
	})
}

// serveNoise serves HTTP/2 inside the encrypted connection that authenticates the machine.
func (s *Server) serveNoise(w http.ResponseWriter, r *http.Request) {
	c, err := controlhttpserver.AcceptHTTP(r.Context(), w, r, s.noise, nil)
	if err != nil {
		s.logf("control: handshake with %s: %v", r.RemoteAddr, err)
		return
	}
	defer c.Close()
	machine := c.Peer()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /machine/register", func(w http.ResponseWriter, r *http.Request) { s.serveRegister(w, r, machine) })
	mux.HandleFunc("POST /machine/map", func(w http.ResponseWriter, r *http.Request) { s.serveMap(w, r, machine) })
	mux.HandleFunc("POST /machine/set-dns", func(w http.ResponseWriter, r *http.Request) { s.serveSetDNS(w, r, machine) })
	mux.HandleFunc("POST /machine/services/{request}", func(w http.ResponseWriter, r *http.Request) { s.serveServices(w, r, machine) })
	mux.HandleFunc("/machine/update-health", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	new(http2.Server).ServeConn(c, &http2.ServeConnOpts{
		Context:    r.Context(),
		BaseConfig: &http.Server{Handler: mux},
	})
}
