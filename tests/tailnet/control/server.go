// Package control is the coordination server of a test tailnet: it registers
// nodes, knows who they are, and tells each of them, over the protocol that
// tailscale's own client speaks, which peers it has and what they may send.
//
// It does not stand on tailscale.com/tstest/integration/testcontrol. That
// server knows no removal of nodes, one auth key at most, users that it makes
// up itself, and ends the process on a request that it does not know.
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

// A Server is one tailnet's control server. Its methods are safe for concurrent
// use, and a change that they make is sent to all nodes at once.
type Server struct {
	http    *loopback.Server
	noise   key.MachinePrivate
	derpMap *tailcfg.DERPMap
	logf    logger.Logf

	// SetTXT adds a record to the DNS, by which a node proves to an ACME server
	// that a name is its own. Nil: there is no DNS.
	SetTXT func(name, value string)

	mu         sync.Mutex
	sent       *sync.Cond // a stream has written a change, or ended
	change     uint64     // counts changes of all that follows
	epoch      uint64     // counts those that may let nodes see each other
	policy     *policy.Policy
	policyText string
	settings   Settings
	clockAhead time.Duration
	nodes      []*node // in order of ID
	gone       map[key.NodePublic]*node
	lastID     tailcfg.NodeID
	users      []tailcfg.UserProfile
	keys       map[string]*authKey
	// OAuth clients by their secrets, and by the access tokens that they were given.
	oauthClients, oauthTokens map[string]*oauthClient
	logins                    map[string]*login // by URL
	services                  []*service
	questions                 int // asked of nodes
}

// Listen starts a control server whose policy lets everybody reach everything,
// as that of a new tailnet does.
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

// URL is what nodes are given as their control server.
func (s *Server) URL() string { return "http://" + s.http.Addr() }

// Stop makes the server unreachable, with every connection to it broken; new
// ones are reset or held, see [loopback.Server.Stop]. It remembers everything.
// It reports whether it was reachable.
//
// A node whose attempt to reconnect is reset tries again no sooner than 10 s
// later, while one that is held is served as soon as Start is called.
func (s *Server) Stop(hold bool) bool { return s.http.Stop(hold) }

// Start makes it reachable again under the same address.
func (s *Server) Start() bool { return s.http.Start() }

// Close ends the server.
func (s *Server) Close() { s.http.Close() }

// changed notes that nodes must be told something new, and wakes their streams.
// The caller holds s.mu.
func (s *Server) changed() {
	s.change++
	s.lead()
	for _, n := range s.nodes {
		n.wake()
	}
}

// regrouped notes a change of who may see whom. The caller holds s.mu.
func (s *Server) regrouped() {
	s.epoch++
	s.changed()
}

// Epoch changes when nodes may have come to see each other that did not before.
func (s *Server) Epoch() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// Settle waits until every node that is online has been sent the present state,
// or ctx ends. A node applies what it was sent some milliseconds later, of which
// the protocol has no word.
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
		LegacyPublicKey: s.noise.Public(), // must be set; nothing is sealed with it any more
		PublicKey:       s.noise.Public(),
	})
}

// serveNoise speaks HTTP/2 inside the encrypted connection that proves which
// machine is talking.
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
	mux.HandleFunc("POST /machine/services/{question}", func(w http.ResponseWriter, r *http.Request) { s.serveServices(w, r, machine) })
	mux.HandleFunc("/machine/update-health", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	new(http2.Server).ServeConn(c, &http2.ServeConnOpts{
		Context:    r.Context(),
		BaseConfig: &http.Server{Handler: mux},
	})
}
