// Package relay runs a DERP relay and a STUN server, through which nodes reach each other
// until they have a direct path.
package relay

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"remote-ollama-proxy/tests/tailnet/loopback"
	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

const host = "127.0.0.1"

// A Relay is a DERP relay and a STUN server.
type Relay struct {
	server *loopback.Server
	stun   *net.UDPConn
	key    key.NodePrivate
	logf   logger.Logf

	mu   sync.Mutex
	derp *derpserver.Server // replaced by Start: a closed one can't be reopened
}

// Listen starts a relay on free ports.
func Listen(logf logger.Logf) (*Relay, error) {
	secure, err := loopback.SelfSigned() // DERP requires TLS
	if err != nil {
		return nil, fmt.Errorf("certificate of the relay: %w", err)
	}
	r := &Relay{key: key.NewNode(), logf: logf}
	r.derp = derpserver.New(r.key, logf)
	if r.server, err = loopback.Listen(host+":0", http.HandlerFunc(r.serve), secure, logf); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if r.stun, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(host)}); err != nil {
		r.server.Close()
		return nil, fmt.Errorf("STUN: %w", err)
	}
	go r.answerSTUN()
	return r, nil
}

func (r *Relay) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	derp := r.derp
	r.mu.Unlock()
	derpserver.Handler(derp).ServeHTTP(w, req)
}

// Addr returns the relay's host and port.
func (r *Relay) Addr() string { return r.server.Addr() }

// STUNAddr returns the STUN server's host and port.
func (r *Relay) STUNAddr() string { return r.stun.LocalAddr().String() }

// Stop stops the relay. The STUN server continues.
func (r *Relay) Stop() bool {
	was := r.server.Stop(false)
	r.mu.Lock()
	defer r.mu.Unlock()
	if was {
		r.derp.Close()
	}
	return was
}

// Start starts the relay again, with the same address and key.
func (r *Relay) Start() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.server.Start()
	if was {
		r.derp = derpserver.New(r.key, r.logf)
	}
	return was
}

// Close ends both servers.
func (r *Relay) Close() {
	r.server.Close()
	r.stun.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.derp.Close()
}

// Map returns the DERP map for nodes.
func (r *Relay) Map() *tailcfg.DERPMap {
	node := &tailcfg.DERPNode{
		Name: "loopback", RegionID: 1, HostName: host, IPv4: host, IPv6: "none",
		DERPPort: r.server.Port(), STUNPort: r.stun.LocalAddr().(*net.UDPAddr).Port, STUNTestIP: host,
		InsecureForTests: true, // its certificate is self-signed
	}
	region := &tailcfg.DERPRegion{RegionID: 1, RegionCode: "loopback", RegionName: "loopback", Nodes: []*tailcfg.DERPNode{node}}
	return &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{1: region}, OmitDefaultRegions: true}
}

func (r *Relay) answerSTUN() {
	buf := make([]byte, 1500)
	for {
		n, from, err := r.stun.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier answer
		}
		if id, err := stun.ParseBindingRequest(buf[:n]); err == nil {
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			r.stun.WriteToUDPAddrPort(stun.Response(id, from), from)
		}
	}
}
