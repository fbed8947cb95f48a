package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest"
	"tailscale.com/tstest/integration"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

// A tailnet on loopback: control server, relay, STUN and real WireGuard.
type tailnet struct {
	*testcontrol.Server
	url string
}

func newTailnet(t testing.TB) *tailnet {
	t.Helper()
	control := &testcontrol.Server{
		DERPMap:        integration.RunDERPAndSTUN(t, logger.Discard, "127.0.0.1"),
		MagicDNSDomain: "tailnet.test",
		DNSConfig:      &tailcfg.DNSConfig{Proxied: true, Domains: []string{"tailnet.test"}},
		Logf:           logger.Discard,
		AllOnline:      true,
	}
	control.HTTPTestServer = httptest.NewUnstartedServer(control)
	control.HTTPTestServer.Start()
	t.Cleanup(control.HTTPTestServer.Close)
	return &tailnet{control, control.HTTPTestServer.URL}
}

// node makes a node of this tailnet that has not started.
func (tn *tailnet) node(t testing.TB, hostname string, change ...func(*Config)) *Node {
	t.Helper()
	config := Config{Dir: t.TempDir(), Hostname: hostname, ControlURL: tn.url, Logf: logger.Discard}
	for _, f := range change {
		f(&config)
	}
	n := New(config)
	t.Cleanup(func() { n.Close() })
	return n
}

func (tn *tailnet) upNode(t testing.TB, hostname string, change ...func(*Config)) *Node {
	t.Helper()
	n := tn.node(t, hostname, change...)
	_, err := n.Up(deadline(t))
	must(t, err)
	return n
}

const testPort = 4711

// pair is a listener on one node, and another node that dials it.
type pair struct {
	t        *testing.T
	server   *Node
	client   *Node
	listener *os.File
	addr     string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	tn := newTailnet(t)
	server, client := tn.upNode(t, "server"), tn.upNode(t, "client")
	p := &pair{t, server, client, listen(t, server), netip.AddrPortFrom(server.Addresses()[0], testPort).String()}
	// The nodes receive each other's keys shortly after they are up.
	near, far := p.connect()
	near.close()
	far.close()
	return p
}

// listen returns the descriptor of a listener on testPort.
func listen(t *testing.T, n *Node) *os.File {
	t.Helper()
	fd, err := n.Listen(testPort)
	must(t, err)
	listener := os.NewFile(uintptr(fd), "listener")
	t.Cleanup(func() { listener.Close() })
	return listener
}

func (p *pair) dial() (*peerEnd, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	c, err := p.client.server.Dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*gonet.TCPConn)
	if !ok { // the client does not know yet that the address of a Service is in the tailnet
		c.Close()
		return nil, fmt.Errorf("dial %s: not through the tailnet yet", p.addr)
	}
	return &peerEnd{tcp}, nil
}

func (p *pair) accept() hostEnd {
	p.t.Helper()
	e, err := acceptFrom(p.listener)
	must(p.t, err)
	return e
}

func acceptFrom(listener *os.File) (hostEnd, error) {
	var id [8]byte
	if _, err := io.ReadFull(listener, id[:]); err != nil {
		return hostEnd{}, err
	}
	return newHostEnd(Claim(binary.LittleEndian.Uint64(id[:]))), nil
}

// connect dials until it succeeds. A dial may fail for a reason of the network: the
// peers do not have each other's keys yet, a port is reused while the other end still
// remembers it, or a loaded machine loses packets.
func (p *pair) connect() (near *peerEnd, far hostEnd) {
	p.t.Helper()
	for ctx := deadline(p.t); ; {
		near, err := p.dial()
		if err == nil {
			return near, p.accept()
		}
		if ctx.Err() != nil {
			p.t.Fatal(err)
		}
		p.t.Logf("dial: %v", err)
	}
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits, with tailscale's backoff, for a condition that another goroutine
// establishes without an event.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	err := tstest.WaitFor(time.Minute, func() error {
		if ok() {
			return nil
		}
		return errors.New("not yet")
	})
	if err != nil {
		t.Fatalf("after a minute: %s: %v", what, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
