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

// Start starts the node without waiting for the tailnet. A second call does
// nothing.
func (n *Node) Start() error {
	n.startMu.Lock()
	defer n.startMu.Unlock()
	n.mu.Lock()
	if n.closed || n.server != nil {
		defer n.mu.Unlock()
		if n.closed {
			return errClosed()
		}
		return nil
	}
	n.sealed = true
	config := n.config
	n.mu.Unlock()

	state, err := openState(&config, n.logf)
	if err != nil {
		n.unseal()
		return err
	}
	// A stored node needs no key, and a key that is spent by now must not keep
	// it from starting; nor is an OAuth secret exchanged for a key that nobody
	// needs. An ephemeral node may have been forgotten meanwhile.
	stored := state.enrolled()
	withhold := stored && !config.Ephemeral && (config.AuthKey != "" || config.ClientSecret != "")
	server, err := n.launch(config, state, !withhold)
	if err == nil {
		err = n.adopt(server, state, withhold)
		n.stored.Store(stored)
	}
	if err != nil {
		state.release()
		n.unseal()
	}
	return err
}

// offerKey starts the server anew with the key that Start withheld, because the
// tailnet no longer accepts the stored node.
func (n *Node) offerKey() error {
	n.startMu.Lock()
	defer n.startMu.Unlock()
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return errClosed()
	}
	if !n.withheld { // another caller was first
		n.mu.Unlock()
		return nil
	}
	old, state, config := n.server, n.state, n.config
	n.mu.Unlock()
	n.logf("the stored node is no longer accepted: starting again with the key")
	shut(old)
	server, err := n.launch(config, state, true)
	if err != nil {
		return err
	}
	n.stored.Store(false)
	return n.adopt(server, state, false)
}

func (n *Node) unseal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sealed = false
}

// adopt makes a started server the node's own, unless the node was closed
// meanwhile.
func (n *Node) adopt(server *tsnet.Server, state *stateFolder, withheld bool) error {
	n.mu.Lock()
	closed := n.closed
	if !closed {
		n.server, n.state, n.withheld = server, state, withheld
	}
	n.mu.Unlock()
	if closed {
		shut(server)
		return errClosed()
	}
	return nil
}

// launch starts a server.
func (n *Node) launch(config Config, state *stateFolder, withKey bool) (*tsnet.Server, error) {
	if err := checkPrivateFields(privateFields); err != nil {
		return nil, err
	}
	if err := prepareProcess(&config); err != nil {
		return nil, err
	}
	ForgetCredentials()
	// A few of tailscale's parts, and Go's HTTP, write to the process's own log.
	log.SetFlags(0)
	log.SetOutput(logger.FuncWriter(n.logf))
	server := &tsnet.Server{
		Dir:      state.path,
		Store:    state.store,
		Hostname: config.Hostname,
		// Named even when it is the default: tsnet would else look for it in the
		// environment, where nobody who reads the config would.
		ControlURL:    cmp.Or(config.ControlURL, ipn.DefaultControlURL),
		AdvertiseTags: config.Tags,
		Ephemeral:     config.Ephemeral,
		Logf:          n.logf,
		UserLogf:      config.Logf, // nil is stderr
	}
	if withKey {
		server.AuthKey, server.ClientSecret = config.AuthKey, config.ClientSecret
	}
	if err := n.startServer(server); err != nil {
		if n.ctx.Err() != nil {
			return nil, errClosed()
		}
		return nil, classifyStart(err, state.path)
	}
	if err := keepTransport(server); err != nil {
		return nil, err
	}
	setTimers(server)
	boundBuffers(server)
	outgoing := outgoingOf(server)
	n.outgoing.Store(&outgoing)
	server.RegisterFallbackTCPHandler(func(src, dst netip.AddrPort) (func(net.Conn), bool) {
		return n.dispatch(server, src, dst)
	})
	return server, nil
}

// startServer starts a server and cancels that once the node closes: the exchange of
// a client secret waits for as long as the API is silent. tsnet makes the context of
// the exchange within Start, before it logs anything, and Server.Close must not run
// during Start; so the first line of the log, written after that context was made,
// is where its cancel function can be read.
func (n *Node) startServer(server *tsnet.Server) error {
	var once sync.Once
	var starting atomic.Bool
	starting.Store(true)
	logf := server.Logf
	server.Logf = func(format string, args ...any) {
		once.Do(func() {
			cancel := private(server, "shutdownCancel").(context.CancelFunc)
			context.AfterFunc(n.ctx, func() {
				if starting.Load() { // Close ends a server that has started, and in its own order
					cancel()
				}
			})
		})
		logf(format, args...)
	}
	defer starting.Store(false)
	return server.Start()
}

// keepTransport gives the client of a server's backend a transport that closeIdle
// knows. Nothing has used the client yet.
func keepTransport(server *tsnet.Server) error {
	lc, err := server.LocalClient()
	if err == nil {
		lc.Transport = &http.Transport{DialContext: lc.Dial}
	}
	return err
}

// closeIdle closes the connections to a server's backend that carry no request.
// The transport sometimes opens one that it then does not need, and for such a
// one tsnet's Close waits for 5 s: https://go.dev/issue/22682.
func closeIdle(server *tsnet.Server) {
	if lc, err := server.LocalClient(); err == nil {
		if transport, ok := lc.Transport.(*http.Transport); ok {
			transport.CloseIdleConnections()
		}
	}
}
