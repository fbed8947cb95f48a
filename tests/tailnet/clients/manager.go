// Package clients runs the tailnet's client devices: tsnet nodes in this process, each
// with loopback ports that are forwarded into the tailnet.
package clients

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"remote-ollama-proxy/tests/tailnet/control"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/ipn/store/mem"
	"tailscale.com/tsnet"
	"tailscale.com/types/logger"
)

// upTimeout bounds a join, which takes some 10 ms.
const upTimeout = 60 * time.Second

// ErrNotFound is returned for an unknown client or forward.
var ErrNotFound = errors.New("not running")

// Control is what a client needs of the control server in addition to the protocol of
// nodes.
type Control interface {
	URL() string
	NewKey(control.KeyRequest) (string, error)
	Resolve(stableID, host string) (netip.Addr, bool)
	Epoch() uint64
	ResendPeer(stableID string, peer netip.Addr)
}

// A Manager runs the clients of one tailnet.
type Manager struct {
	control Control
	dir     string
	logf    logger.Logf

	mu      sync.Mutex
	clients map[string]*Client
}

// NewManager makes a manager. Its clients have their state folders under dir.
func NewManager(control Control, dir string, logf logger.Logf) *Manager {
	return &Manager{control: control, dir: dir, logf: logf, clients: map[string]*Client{}}
}

// Start adds a device with tags or of a user, and waits until it is up.
func (m *Manager) Start(ctx context.Context, hostname string, tags []string, user string) (*Client, error) {
	if hostname == "" {
		return nil, fmt.Errorf("hostname: must not be empty")
	}
	if c, _ := m.Client(hostname); c != nil {
		return nil, fmt.Errorf("hostname: %q is the name of a running client", hostname)
	}
	key, err := m.control.NewKey(control.KeyRequest{
		Tags: tags, User: user, ExpiresIn: time.Hour, Preapproved: true,
		Exempt: true, // it uploads no logs, and must work in every test
	})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(m.dir, "client-")
	if err != nil {
		return nil, fmt.Errorf("client %q: state folder: %w", hostname, err)
	}
	logf := logger.WithPrefix(m.logf, hostname+": ")
	store, err := mem.New(logf, "")
	if err != nil {
		return nil, err
	}
	server := &tsnet.Server{
		Dir: dir, Store: persistent{store}, Hostname: hostname, ControlURL: m.control.URL(), AuthKey: key,
		Logf: logger.Discard, UserLogf: logf,
	}
	status, err := up(ctx, server)
	if err != nil {
		server.Close()
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start client %q: %w", hostname, err)
	}
	dnsName := strings.TrimSuffix(status.Self.DNSName, ".")
	name, _, _ := strings.Cut(dnsName, ".")
	c := &Client{
		Name: name, DNSName: dnsName, Addresses: status.TailscaleIPs, StableID: string(status.Self.ID),
		server: server, dir: dir, control: m.control, logf: logf, forwards: map[string]*Forward{},
		peers: map[netip.Addr]*handshake{},
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients[name] = c
	return c, nil
}

// up starts a server and waits until it is up.
func up(ctx context.Context, server *tsnet.Server) (*ipnstate.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	if err := server.Start(); err != nil {
		return nil, err
	}
	if err := disableGRO(server); err != nil {
		return nil, err
	}
	return server.Up(ctx)
}

// Client returns the client with a name.
func (m *Manager) Client(name string) (*Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.clients[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("client %q: %w", name, ErrNotFound)
}

// List returns the clients, sorted by name.
func (m *Manager) List() []*Client {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []*Client{}
	for _, c := range m.clients {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *Client) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Stop stops a client. The device remains in the tailnet, offline.
func (m *Manager) Stop(name string) error {
	c, err := m.Client(name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	delete(m.clients, name)
	m.mu.Unlock()
	return c.close()
}

// Close stops all clients.
func (m *Manager) Close() {
	var all sync.WaitGroup
	for _, c := range m.List() {
		all.Go(func() { m.Stop(c.Name) })
	}
	all.Wait()
}

// persistent hides from tsnet that the state is in memory only: tsnet makes such nodes
// ephemeral, and an ephemeral node logs out when it is closed.
type persistent struct{ ipn.StateStore }
