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
	*stream
	conn *Conn
}

func (e end) close()            { e.Close(); Release(e.conn.ID, false) }
func (e end) abort()            { Release(e.conn.ID, true); e.Close() }
func (e end) closeWrite() error { return e.stream.closeWrite() }

// readAll reads to the end and reports a reset as the error that it is.
func (e end) readAll() ([]byte, error) {
	b, err := io.ReadAll(e)
	if err == nil && WasReset(e.conn.ID) {
		err = unix.ECONNRESET
	}
	return b, err
}

// stream reads and writes a connection as src/tsnet/conn.rs does.
type stream struct {
	id    uint64
	ready chan struct{} // nil: reads by the descriptor
	file  *os.File      // nil: there is no descriptor
	wrote uint64        // to the descriptor
}

// direct reads in its own thread.
func direct(conn *Conn) end {
	s := &stream{id: conn.ID, ready: make(chan struct{}, 1)}
	Watch(s.id, func() {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	})
	return end{s, conn}
}

// byDescriptor reads by a descriptor.
func byDescriptor(conn *Conn) (end, error) {
	e := end{&stream{id: conn.ID}, conn}
	return e, e.open()
}

func (s *stream) open() error {
	if s.file != nil {
		return nil
	}
	fd, err := Descriptor(s.id)
	if err == nil {
		s.file = os.NewFile(uintptr(fd), "connection")
	}
	return err
}

func (s *stream) Read(b []byte) (int, error) {
	if s.ready == nil {
		return s.file.Read(b)
	}
	for {
		n, _, none := ReadDirect(s.id, b)
		switch {
		case n > 0:
			return n, nil
		case none == ReadEnd:
			return 0, io.EOF
		case none == ReadReset:
			return 0, unix.ECONNRESET
		}
		<-s.ready
	}
}

func (s *stream) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		taken := 0
		if s.ready != nil {
			taken = WriteDirect(s.id, [][]byte{b[n:]}, s.wrote)
		}
		if taken == 0 {
			if err = s.open(); err == nil {
				taken, err = s.file.Write(b[n:])
				s.wrote += uint64(taken)
			}
		}
		n += taken
	}
	return n, err
}

// SetWriteDeadline holds for what goes through the descriptor; the rest never waits.
func (s *stream) SetWriteDeadline(at time.Time) error {
	return errors.Join(s.open(), s.file.SetWriteDeadline(at))
}

func (s *stream) closeWrite() error {
	if s.file == nil {
		Shutdown(s.id)
		return nil
	}
	return closeWrite(s.file)
}

func (s *stream) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

func (p *pair) dial() (end, error) {
	conn, err := p.client.Dial("tcp", p.addr)
	if err != nil {
		return end{}, err
	}
	return byDescriptor(conn)
}

func (p *pair) accept() end {
	p.t.Helper()
	e, err := acceptFrom(p.listener)
	must(p.t, err)
	return e
}

func acceptFrom(listener *os.File) (end, error) {
	var id [8]byte
	if _, err := io.ReadFull(listener, id[:]); err != nil {
		return end{}, err
	}
	return direct(Claim(binary.LittleEndian.Uint64(id[:]))), nil
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
