package node

import (
	"cmp"
	"context"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"tailscale.com/ipn"
	"tailscale.com/tsnet"
	"tailscale.com/types/logger"
)

// Start starts the node without waiting until it is up. A second call does nothing.
func (n *Node) Start() error {
	n.startMu.Lock()
	defer n.startMu.Unlock()
	switch _, err := n.running(); err {
	case nil:
		return nil
	case ErrClosed:
		return err
	}

	state, err := openState(n.config.Dir, n.logf)
	if err != nil {
		return err
	}
	// A stored node needs no key. A used-up key must not prevent its start, and an OAuth
	// secret need not be exchanged. The tailnet may have removed an ephemeral node,
	// however.
	stored := state.enrolled()
	withhold := stored && !n.config.Ephemeral && (n.config.AuthKey != "" || n.config.ClientSecret != "")
	server, err := n.launch(state, !withhold)
	if err == nil {
		err = n.adopt(server, state, withhold)
		n.stored.Store(stored)
	}
	if err != nil {
		state.release()
	}
	return err
}

// offerKey restarts the server with the key that Start withheld, because the tailnet no
// longer accepts the stored node.
func (n *Node) offerKey() error {
	n.startMu.Lock()
	defer n.startMu.Unlock()
	n.mu.Lock()
	closed, withheld, old, state := n.closed, n.withheld, n.server, n.state
	n.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if !withheld { // a concurrent call has done it
		return nil
	}
	n.logf("restart the node with the key: the tailnet no longer accepts the stored node")
	shutDown(old)
	server, err := n.launch(state, true)
	if err != nil {
		return err
	}
	n.stored.Store(false)
	return n.adopt(server, state, false)
}

// adopt makes a started server the node's own, unless the node was closed in between.
func (n *Node) adopt(server *tsnet.Server, state *stateFolder, withheld bool) error {
	n.mu.Lock()
	closed := n.closed
	if !closed {
		n.server, n.state, n.withheld = server, state, withheld
	}
	n.mu.Unlock()
	if closed {
		shutDown(server)
		return ErrClosed
	}
	return nil
}

// launch starts a server.
func (n *Node) launch(state *stateFolder, withKey bool) (*tsnet.Server, error) {
	if err := checkPrivateFields(privateFields); err != nil {
		return nil, err
	}
	if err := prepareProcess(&n.config); err != nil {
		return nil, err
	}
	ForgetCredentials()
	// Parts of tailscale and Go's HTTP client use the standard logger.
	log.SetFlags(0)
	log.SetOutput(logger.FuncWriter(n.logf))
	server := n.newServer(state, withKey)
	if err := n.startServer(server); err != nil {
		if n.ctx.Err() != nil {
			return nil, ErrClosed
		}
		return nil, classifyStart(err, state.path)
	}
	if err := setTransport(server); err != nil {
		return nil, err
	}
	setTimers(server)
	n.buffers.Store(newBufferBudget(server))
	outgoing := packetQueueOf(server)
	n.outgoing.Store(&outgoing)
	server.RegisterFallbackTCPHandler(func(src, dst netip.AddrPort) (func(net.Conn), bool) {
		return n.dispatch(server, src, dst)
	})
	return server, nil
}

func (n *Node) newServer(state *stateFolder, withKey bool) *tsnet.Server {
	server := &tsnet.Server{
		Dir:      state.path,
		Store:    state.store,
		Hostname: n.config.Hostname,
		// Always set: tsnet would otherwise read it from the environment.
		ControlURL:    cmp.Or(n.config.ControlURL, ipn.DefaultControlURL),
		AdvertiseTags: n.config.Tags,
		Ephemeral:     n.config.Ephemeral,
		Logf:          n.logf,
		UserLogf:      n.logf,
	}
	if withKey {
		server.AuthKey, server.ClientSecret = n.config.AuthKey, n.config.ClientSecret
	}
	return server
}

// startServer starts a server, and cancels its start when the node closes: the exchange
// of a client secret has no time-out. tsnet makes the context of the exchange in Start,
// before its first log line, and Server.Close must not run during Start. So the logger
// reads the cancel function of that context at the first line.
func (n *Node) startServer(server *tsnet.Server) error {
	var once sync.Once
	var starting atomic.Bool
	starting.Store(true)
	logf := server.Logf
	server.Logf = func(format string, args ...any) {
		once.Do(func() {
			cancel := private(server, "shutdownCancel").(context.CancelFunc)
			context.AfterFunc(n.ctx, func() {
				if starting.Load() { // Close stops a started server, in its own order
					cancel()
				}
			})
		})
		logf(format, args...)
	}
	defer starting.Store(false)
	return server.Start()
}

// setTransport gives the client of a server's backend a transport that closeIdle can
// use. The client has not been used yet.
func setTransport(server *tsnet.Server) error {
	lc, err := server.LocalClient()
	if err == nil {
		lc.Transport = &http.Transport{DialContext: lc.Dial}
	}
	return err
}

// closeIdle closes the idle connections to a server's backend. The transport sometimes
// opens one that it then does not use, and tsnet's Close waits 5 s for it:
// https://go.dev/issue/22682.
func closeIdle(server *tsnet.Server) {
	if lc, err := server.LocalClient(); err == nil {
		if transport, ok := lc.Transport.(*http.Transport); ok {
			transport.CloseIdleConnections()
		}
	}
}
