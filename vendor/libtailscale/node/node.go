// Package node is a tailnet node for a program that is not written in Go: a tsnet
// server that hands over each connection together with the identity of its peer.
//
// It opens no listener of the operating system. The C interface in the parent folder
// only converts types.
package node

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"tailscale.com/client/local"
	"tailscale.com/ipn/ipnlocal"
	"tailscale.com/tsnet"
	"tailscale.com/types/logger"
)

// Config is the configuration of a node. The zero value is usable.
type Config struct {
	Dir          string   `json:"dir"`           // state folder; made with mode 0700 if absent
	Hostname     string   `json:"hostname"`      // wanted name in the tailnet, one DNS label
	AuthKey      string   `json:"auth_key"`      // used only while the state folder holds no accepted node
	ClientSecret string   `json:"client_secret"` // OAuth client secret, used like AuthKey; needs Tags
	ControlURL   string   `json:"control_url"`   // empty: Tailscale's own control server
	Tags         []string `json:"tags"`          // to advertise, such as "tag:ai-server"
	Ephemeral    bool     `json:"ephemeral"`     // the tailnet removes the node when it goes offline
	PortMapping  bool     `json:"port_mapping"`  // ask the router for a port (UPnP, NAT-PMP, PCP)
	StartOffline bool     `json:"start_offline"` // come up with a cached netmap before the control server has answered

	// Logf receives the log of tsnet and of this package, one call for each line.
	Logf logger.Logf `json:"-"`
}

// A Node is one node of a tailnet. Its methods are safe for concurrent use.
type Node struct {
	config Config
	ctx    context.Context // ends with the node
	cancel context.CancelFunc

	// startMu is held while a server starts, which may take as long as the network
	// takes; mu is only held briefly.
	startMu sync.Mutex

	mu       sync.Mutex
	server   *tsnet.Server // nil until started
	state    *stateFolder
	withheld bool // a key was not offered, because a node is stored
	closed   bool

	listeners listenerSet
	refusals  refusals
	loginURL  atomic.Pointer[string]
	hosted    atomic.Pointer[hostedService]
	outgoing  atomic.Pointer[chan *stack.PacketBuffer] // see packetQueueOf
	buffers   atomic.Pointer[bufferBudget]
	stored    atomic.Bool  // the node was in the state folder already
	lastReset atomic.Int64 // when a connection was last reset; Unix nanoseconds
}

// New makes a node that has not started.
func New(config Config) *Node {
	ctx, cancel := context.WithCancel(context.Background())
	return &Node{config: config, ctx: ctx, cancel: cancel}
}

// Addresses returns the node's tailnet addresses, IPv4 first; none before it is up.
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
		return nil, ErrClosed
	case n.server == nil:
		return nil, errNotStarted
	}
	return n.server, nil
}

var errNotStarted = errf(KindOther, "the node has not started")

// client starts the node if necessary and returns the client of its backend, which uses
// a pipe in memory.
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

// backend returns the backend itself. The local client would ask it through HTTP and
// JSON, which would dominate the cost of accepting a connection.
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
	return nil, errNotStarted
}

func (n *Node) logf(format string, args ...any) { n.config.Logf(format, args...) }
