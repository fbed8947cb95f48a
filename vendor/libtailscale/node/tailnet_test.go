package node

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

// A tailnet on loopback: control server, relay and STUN, real WireGuard.
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
	n := New()
	dir := t.TempDir()
	must(t, n.Configure(func(c *Config) {
		c.Dir, c.Hostname, c.ControlURL = dir, hostname, tn.url
		c.Logf = logger.Discard
		for _, f := range change {
			f(c)
		}
	}))
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

// pair returns a listener on one node and the node and address to dial it from.
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
	fd, err := server.Listen("tcp", ":4711")
	must(t, err)
	p := &pair{t, server, client, os.NewFile(uintptr(fd), "listener"), netip.AddrPortFrom(server.Addresses()[0], 4711).String()}
	t.Cleanup(func() { p.listener.Close() })
	// The nodes learn of each other a moment after they are up.
	near, far := p.connect()
	near.close()
	far.close()
	return p
}

// end is one end of a connection as the host program sees it.
type end struct {
	*os.File
	conn *Conn
}

func (e end) close()            { e.Close(); Release(e.conn.ID, false) }
func (e end) abort()            { Release(e.conn.ID, true); e.Close() }
func (e end) closeWrite() error { return closeWrite(e.File) }

// read reads to the end and reports a reset as the error that it is.
func (e end) readAll() ([]byte, error) {
	b, err := io.ReadAll(e)
	if err == nil && WasReset(e.conn.ID) {
		err = unix.ECONNRESET
	}
	return b, err
}

func (p *pair) dial() (end, error) {
	conn, fd, err := p.client.Dial("tcp", p.addr)
	if err != nil {
		return end{}, err
	}
	return end{os.NewFile(uintptr(fd), "near"), conn}, nil
}

func (p *pair) accept() end {
	p.t.Helper()
	e, err := acceptFrom(p.listener)
	must(p.t, err)
	return e
}

func acceptFrom(listener *os.File) (end, error) {
	raw, err := listener.SyscallConn()
	if err != nil {
		return end{}, err
	}
	var id [8]byte
	oob := make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	var rerr error
	if err := raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, rerr = unix.Recvmsg(int(fd), id[:], oob, 0)
		return rerr != unix.EAGAIN
	}); err != nil {
		return end{}, err
	}
	if rerr != nil || n == 0 {
		return end{}, errors.Join(rerr, io.EOF)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return end{}, err
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return end{}, err
	}
	return end{os.NewFile(uintptr(fds[0]), "far"), Claim(binary.LittleEndian.Uint64(id[:]))}, nil
}

// connect dials until it gets through. A dial may fail for reasons of the network
// in between: the peers do not know each other yet, a port is used again while the
// other end still remembers it, packets are lost on a machine that has more to do
// than it can.
func (p *pair) connect() (near, far end) {
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
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for ctx := deadline(t); !ok(); time.Sleep(5 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("still not so after a minute: %s", what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
