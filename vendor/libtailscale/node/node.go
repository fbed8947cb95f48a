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
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"tailscale.com/client/local"
	"tailscale.com/envknob"
	"tailscale.com/tsnet"
	"tailscale.com/types/logger"
)

// Config says what the node is. The zero value is usable; fields are read once,
// when the node starts.
type Config struct {
	Dir          string   // state folder; made 0700 if absent
	Hostname     string   // name wanted in the tailnet, one DNS label
	AuthKey      string   // ignored once the node is enrolled
	ClientSecret string   // OAuth client secret; needs Tags
	ControlURL   string   // "" is Tailscale's own control server
	Tags         []string // advertised tags, such as "tag:ai-server"
	Ephemeral    bool     // the tailnet forgets the node when it goes offline
	PortMapping  bool     // ask the router for a port (UPnP, NAT-PMP, PCP)

	// Logf receives the log of tsnet and of this package, one call per line.
	Logf logger.Logf
}

// A Node is one member of a tailnet. Its methods are safe for concurrent use.
type Node struct {
	mu     sync.Mutex
	config Config
	server *tsnet.Server // nil until start
	lock   *os.File      // held while running: one process per state folder
	closed bool
	ctx    context.Context // ends with the node
	cancel context.CancelFunc

	loginURL atomic.Pointer[string]
	upMu     sync.Mutex // guards cancelUp
	cancelUp context.CancelFunc
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
	if n.server != nil || n.closed {
		return errf(KindOther, "the node has already started: set options before start")
	}
	change(&n.config)
	return nil
}

// Start starts the node without waiting for the tailnet. A second call does
// nothing.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errf(KindClosed, "the node is closed")
	}
	if n.server != nil {
		return nil
	}
	tuneMemory()
	// Both are read by tailscale when it starts. The first keeps every log on
	// this machine, beside the build tag that leaves the upload code out.
	envknob.SetNoLogsNoSupport()
	envknob.Setenv("TS_DISABLE_PORTMAPPER", fmt.Sprint(!n.config.PortMapping))

	if n.config.Dir == "" {
		dir, err := defaultDir()
		if err != nil {
			return errf(KindState, "no state folder: %v", err)
		}
		n.config.Dir = dir
	}
	lock, err := claimDir(n.config.Dir)
	if err != nil {
		return err
	}
	logf := n.logf
	server := &tsnet.Server{
		Dir:           n.config.Dir,
		Hostname:      n.config.Hostname,
		AuthKey:       n.config.AuthKey,
		ClientSecret:  n.config.ClientSecret,
		ControlURL:    n.config.ControlURL,
		AdvertiseTags: n.config.Tags,
		Ephemeral:     n.config.Ephemeral,
		Logf:          logf,
		UserLogf:      logf,
	}
	if err := server.Start(); err != nil {
		lock.Close()
		return classifyStart(err)
	}
	n.server, n.lock = server, lock
	return nil
}

// Close stops the node. Every connection and listener of it ends.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return errf(KindClosed, "the node is closed")
	}
	n.closed = true
	server, lock := n.server, n.lock
	n.mu.Unlock()
	n.CancelUp()
	n.cancel()
	if server == nil {
		return nil
	}
	err := server.Close()
	lock.Close()
	return err
}

// Addresses returns the node's tailnet addresses, IPv4 first; empty before the
// node is up.
func (n *Node) Addresses() []netip.Addr {
	server, err := n.running()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, ip := range addrs2(server.TailscaleIPs()) {
		if ip.IsValid() {
			out = append(out, ip)
		}
	}
	return out
}

func addrs2(a, b netip.Addr) []netip.Addr { return []netip.Addr{a, b} }

// running returns the started server.
func (n *Node) running() (*tsnet.Server, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return nil, errf(KindClosed, "the node is closed")
	case n.server == nil:
		return nil, errf(KindOther, "the node has not started")
	}
	return n.server, nil
}

// started starts the node if need be and returns its server.
func (n *Node) started() (*tsnet.Server, error) {
	if err := n.Start(); err != nil {
		return nil, err
	}
	return n.running()
}

func (n *Node) client() (*local.Client, error) {
	server, err := n.started()
	if err != nil {
		return nil, err
	}
	return server.LocalClient()
}

func (n *Node) logf(format string, args ...any) {
	if n.config.Logf != nil {
		n.config.Logf(format, args...)
	}
}

func defaultDir() (string, error) {
	base, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "tsnet-"+strings.ToLower(filepath.Base(exe))), nil
}

// claimDir makes the state folder private and usable, and takes its lock: two
// processes with one node key would cut each other off.
func claimDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errf(KindState, "state folder %s can't be made: %v", dir, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, errf(KindState, "state folder %s can't be made private (0700): %v", dir, err)
	}
	path := filepath.Join(dir, "lock")
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errf(KindState, "state folder %s can't be written: %v", dir, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errf(KindState, "state folder %s is in use by another process", dir)
		}
		return nil, errf(KindState, "state folder %s can't be locked: %v", dir, err)
	}
	return lock, nil
}
