// Package node is a tailnet node for a program that is not written in Go: a
// tsnet server whose connections leave as file descriptors together with the
// identity of the peer.
//
// It opens no listener of the operating system. The C interface beside this
// package only translates; everything that can go wrong is decided here.
package node

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"tailscale.com/client/local"
	"tailscale.com/ipn/ipnlocal"
	"tailscale.com/tsnet"
	"tailscale.com/types/logger"
)

// Config says what the node is. The zero value is usable; fields are read once,
// when the node starts.
type Config struct {
	Dir          string   // state folder; made 0700 if absent
	Hostname     string   // name wanted in the tailnet, one DNS label
	AuthKey      string   // offered only while the state folder holds no accepted node
	ClientSecret string   // OAuth client secret, used as AuthKey is; needs Tags
	ControlURL   string   // "" is Tailscale's own control server
	Tags         []string // advertised tags, such as "tag:ai-server"
	Ephemeral    bool     // the tailnet forgets the node when it goes offline
	PortMapping  bool     // ask the router for a port (UPnP, NAT-PMP, PCP)
	StartOffline bool     // be up by the stored netmap, if there is one, before the control server has answered

	// Logf receives the log of tsnet and of this package, one call per line.
	// With nil only what somebody must read, the login URL, goes to stderr.
	Logf logger.Logf
}

// A Node is one member of a tailnet. Its methods are safe for concurrent use.
type Node struct {
	ctx    context.Context // ends with the node
	cancel context.CancelFunc

	// startMu is held while a server starts, which takes as long as the network
	// likes; mu is only ever held for a moment.
	startMu sync.Mutex

	mu       sync.Mutex
	config   Config
	sealed   bool          // the configuration is in use
	server   *tsnet.Server // nil until started
	state    *stateFolder
	withheld bool // there is a key that was not offered, because a node is stored
	closed   bool

	listeners listenerSet
	refusals  refusals
	loginURL  atomic.Pointer[string]
	hosted    atomic.Pointer[hosted]
	outgoing  atomic.Pointer[chan *stack.PacketBuffer] // see outgoingOf
	stored    atomic.Bool                              // the node was in the state folder already and is used as it was
	lastReset atomic.Int64                             // when a connection was last reset; nanoseconds since 1970
}

// New makes a node that has not started.
func New() *Node {
	ctx, cancel := context.WithCancel(context.Background())
	return &Node{ctx: ctx, cancel: cancel}
}

// Configure changes the configuration. It fails once the node has started.
func (n *Node) Configure(change func(*Config)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sealed || n.closed {
		return errf(KindOther, "the node has already started: set options before start")
	}
	change(&n.config)
	return nil
}

// Close stops the node. Its open connections are reset; what the host program
// has closed has a moment to reach the peer. Listeners and event streams end.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return errClosed()
	}
	n.closed = true
	server, state := n.server, n.state
	n.mu.Unlock()
	n.cancel()
	// While the network still works, so that the peers hear of it.
	abortOpen(n)
	err := n.awaitStart()
	if server == nil {
		return err
	}
	for end := time.Now().Add(flushTimeout); unsent(server) && time.Now().Before(end); {
		time.Sleep(flushInterval)
	}
	time.Sleep(time.Until(time.Unix(0, n.lastReset.Load()).Add(resetTime)))
	err = errors.Join(err, shut(server))
	state.release()
	return err
}

// awaitStart waits until a start under way has noticed that the node is closed
// and has stopped what it began: whoever has closed a node may remove its state
// folder, or use it again.
func (n *Node) awaitStart() error {
	return within(closeTimeout, func() {
		n.startMu.Lock()
		n.startMu.Unlock()
	})
}

// A peer confirms within a round trip; one that is gone never does.
const (
	flushTimeout  = time.Second
	flushInterval = 2 * time.Millisecond
)

// resetTime is how long a reset may take to leave this machine. Nobody confirms
// one, and a peer that does not hear of it waits for as long as it has patience.
const resetTime = 100 * time.Millisecond

// closeTimeout bounds how long a server may take to stop; nothing that takes
// longer will ever be done.
const closeTimeout = 10 * time.Second

func shut(server *tsnet.Server) error {
	return within(closeTimeout, func() {
		abortLeftovers(server)
		closeIdle(server)
		server.Close() // fails only if it is closed already
	})
}

// within runs f and fails when that takes longer than it may.
func within(limit time.Duration, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return nil
	case <-time.After(limit):
		return errf(KindOther, "the node did not stop within %v", limit)
	}
}

// Addresses returns the node's tailnet addresses, IPv4 first; empty before the
// node is up.
func (n *Node) Addresses() []netip.Addr {
	server, err := n.running()
	if err != nil {
		return nil
	}
	return addressesOf(server)
}

func addressesOf(server *tsnet.Server) (out []netip.Addr) {
	ip4, ip6 := server.TailscaleIPs()
	for _, ip := range []netip.Addr{ip4, ip6} {
		if ip.IsValid() {
			out = append(out, ip)
		}
	}
	return out
}

// running returns the started server.
func (n *Node) running() (*tsnet.Server, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return nil, errClosed()
	case n.server == nil:
		return nil, errf(KindOther, "the node has not started")
	}
	return n.server, nil
}

// client starts the node if need be and returns the way to its backend, which
// is a pipe in memory.
func (n *Node) client() (*local.Client, error) {
	if err := n.Start(); err != nil {
		return nil, err
	}
	server, err := n.running()
	if err != nil {
		return nil, err
	}
	return server.LocalClient()
}

// backend returns what knows the netmap. The local client asks the same one, but
// through HTTP and JSON, which is most of what it takes to let a connection in.
func (n *Node) backend() (*ipnlocal.LocalBackend, error) {
	server, err := n.running()
	if err != nil {
		return nil, err
	}
	return backendOf(server)
}

func backendOf(server *tsnet.Server) (*ipnlocal.LocalBackend, error) {
	if backend := private(server, "lb").(*ipnlocal.LocalBackend); backend != nil {
		return backend, nil
	}
	return nil, errf(KindOther, "the node has not started")
}

func (n *Node) logf(format string, args ...any) {
	if logf := n.config.Logf; logf != nil {
		logf(format, args...)
	}
}

func errClosed() error { return errf(KindClosed, "the node is closed") }
