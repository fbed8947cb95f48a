// Package loopback serves HTTP on a loopback port that can fail and recover, like a
// server that loses power.
package loopback

import (
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"tailscale.com/types/logger"
)

// A Server is an HTTP server on one fixed port.
//
// While it is stopped it keeps the port, which another process could take otherwise, and
// resets or holds every connection.
type Server struct {
	listener net.Listener
	http     *http.Server

	mu      sync.Mutex
	stopped bool
	resumed chan struct{} // while connections are held; closed by Start
	open    map[*conn]bool
}

// Listen starts a server. With a TLS configuration it serves HTTPS.
func Listen(addr string, handler http.Handler, secure *tls.Config, logf logger.Logf) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if ip := listener.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		listener.Close()
		return nil, fmt.Errorf("%s is no loopback address: a test tailnet has no access control", addr)
	}
	s := &Server{listener: listener, open: map[*conn]bool{}}
	s.http = &http.Server{
		Handler:           handler,
		TLSConfig:         secure,
		ErrorLog:          log.New(logger.FuncWriter(logf), "", 0),
		ReadHeaderTimeout: 10 * time.Second,
		// Both protocols served here are upgrades of HTTP/1.1.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	accept := net.Listener(acceptor{s})
	if secure != nil {
		accept = tls.NewListener(accept, secure)
	}
	go s.http.Serve(accept)
	return s, nil
}

// Addr returns the host and port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Port returns the port.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Stop resets every connection, including upgraded ones, and accepts none until Start.
// New connections are reset, as if the server were down, or with hold get no answer until
// Start, as if the network were down. It reports whether the server was running.
func (s *Server) Stop(hold bool) bool {
	s.mu.Lock()
	was := !s.stopped
	if was {
		s.stopped = true
		if hold {
			s.resumed = make(chan struct{})
		}
	}
	open := s.open
	s.open = map[*conn]bool{}
	s.mu.Unlock()
	for c := range open {
		c.reset()
	}
	return was
}

// Start accepts connections again. It reports whether the server was stopped.
func (s *Server) Start() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.stopped
	s.stopped = false
	s.release()
	return was
}

// release releases the held connections. The caller holds s.mu.
func (s *Server) release() {
	if s.resumed != nil {
		close(s.resumed)
		s.resumed = nil
	}
}

// Close closes the server.
func (s *Server) Close() {
	s.Stop(false)
	s.mu.Lock()
	s.release() // net/http waits for the acceptor
	s.mu.Unlock()
	s.http.Close()
}

// acceptor is the listener of net/http.
type acceptor struct{ *Server }

func (a acceptor) Accept() (net.Conn, error) {
	for {
		c, err := a.listener.Accept()
		if err != nil {
			return nil, err
		}
		tracked := &conn{TCPConn: c.(*net.TCPConn), server: a.Server}
		a.awaitResumption()
		if a.track(tracked) {
			return tracked, nil
		}
		tracked.reset()
	}
}

func (a acceptor) awaitResumption() {
	a.mu.Lock()
	resumed := a.resumed
	a.mu.Unlock()
	if resumed != nil {
		<-resumed
	}
}

func (a acceptor) Close() error   { return a.listener.Close() }
func (a acceptor) Addr() net.Addr { return a.listener.Addr() }

func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.open[c] = true
	return true
}

// conn is a connection that Stop can reset even after net/http has handed it to an
// upgraded protocol.
type conn struct {
	*net.TCPConn
	server *Server
}

func (c *conn) Close() error {
	c.server.mu.Lock()
	delete(c.server.open, c)
	c.server.mu.Unlock()
	return c.TCPConn.Close()
}

func (c *conn) reset() {
	c.SetLinger(0)
	c.TCPConn.Close()
}
