// Package acme is an ACME server for the nodes of a test tailnet: pebble, Let's Encrypt's
// test server, which looks up challenges in a DNS server of this package. Both are on
// loopback.
package acme

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/core"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"remote-ollama-proxy/tests/tailnet/loopback"
	"tailscale.com/types/logger"
)

// A Server issues certificates. Its methods are safe for concurrent use.
type Server struct {
	http  *loopback.Server
	own   string // PEM
	dns   *dns.Server
	store *db.MemoryStore
	ca    *ca.CAImpl

	mu      sync.Mutex
	records map[string][]string // TXT, by full name
}

// Listen starts a server.
func Listen(logf logger.Logf) (*Server, error) {
	// By default pebble delays answers and rejects nonces at random.
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	os.Setenv("PEBBLE_AUTHZREUSE", "0") // each order is validated
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	out := log.New(logger.FuncWriter(logger.Discard), "", 0)
	profiles := map[string]ca.Profile{"default": {Description: "the only one"}}
	s := &Server{store: db.NewMemoryStore(), records: map[string][]string{}}
	secure, err := loopback.SelfSigned() // ACME requires TLS
	if err != nil {
		listener.Close()
		return nil, err
	}
	s.own = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificates[0].Certificate[0]}))
	s.dns = &dns.Server{Listener: listener, Handler: s}
	s.ca = ca.New(out, s.store, "", "ecdsa", 0, 1, profiles)
	validator := va.New(out, 0, 0, false, listener.Addr().String(), s.store)
	front := wfe.New(out, s.store, validator, s.ca, []string{"ca.test"}, false, false, 1, 1)
	if s.http, err = loopback.Listen("127.0.0.1:0", withLocation(front.Handler()), secure, logf); err != nil {
		listener.Close()
		return nil, err
	}
	go s.dns.ActivateAndServe()
	return s, nil
}

// Close ends the server.
func (s *Server) Close() {
	s.http.Close()
	s.dns.Shutdown()
}

// Directory returns the URL for clients.
func (s *Server) Directory() string { return "https://" + s.http.Addr() + wfe.DirectoryPath }

// Certificate returns the server's own certificate, in PEM, for clients to trust.
func (s *Server) Certificate() string { return s.own }

// Root returns the root certificate of issued ones, in PEM.
func (s *Server) Root() string { return string(s.ca.GetRootCert(0).PEM()) }

// SetTXT adds a record to the DNS.
func (s *Server) SetTXT(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = canonical(name)
	s.records[name] = append(s.records[name], value)
}

// Refuse makes the server refuse a name and its subdomains.
func (s *Server) Refuse(name string) error { return s.store.AddBlockedDomain(name) }

// RequestRenewal makes the server announce that a certificate, in PEM, was due for
// renewal an hour ago (RFC 9773).
func (s *Server) RequestRenewal(certificate string) error {
	block, _ := pem.Decode([]byte(certificate))
	if block == nil {
		return fmt.Errorf("%.40q is no certificate in PEM", certificate)
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	answer, err := json.Marshal(core.RenewalInfoImmediate(time.Now()))
	if err != nil {
		return err
	}
	return s.store.SetARIResponse(parsed.SerialNumber, string(answer))
}

// ServeDNS answers the validator of challenges.
func (s *Server) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg).SetReply(question)
	s.mu.Lock()
	for _, q := range question.Question {
		if q.Qtype != dns.TypeTXT {
			continue
		}
		for _, value := range slices.Clone(s.records[canonical(q.Name)]) {
			head := dns.RR_Header{Name: q.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}
			answer.Answer = append(answer.Answer, &dns.TXT{Hdr: head, Txt: []string{value}})
		}
	}
	s.mu.Unlock()
	w.WriteMsg(answer)
}

// withLocation adds the order's URL to the answer to its finalization, as Let's Encrypt
// does and pebble does not: clients built on x/crypto/acme need it.
func withLocation(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := strings.CutPrefix(r.URL.Path, "/finalize-order/"); ok {
			w.Header().Set("Location", "https://"+r.Host+"/my-order/"+id)
		}
		handler.ServeHTTP(w, r)
	})
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
