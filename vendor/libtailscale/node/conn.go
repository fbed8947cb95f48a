package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A Conn is one tailnet connection whose other half is a descriptor that the
// host program holds. Each direction ends on its own; a reset on either side
// ends both and reaches the other side as a reset.
type Conn struct {
	ID       uint64 // names the connection for the host program; never reused
	Remote   netip.AddrPort
	Local    netip.AddrPort
	Identity []byte // JSON of Identity; nil for a dialled connection

	node     *Node
	listener *listener // nil for a dialled connection
	net      tailnetConn
	endpoint tcpip.Endpoint           // behind net, for WriteDirect; nil: not to be written to
	outgoing chan *stack.PacketBuffer // where its packets wait for WireGuard
	pair     *os.File
	passed   atomic.Uint64 // bytes that have come through pair and that net has taken
	reset    atomic.Bool   // either side broke the connection
	ended    atomic.Int32  // directions that have come to their end
	closing  sync.Once

	// Guarded by conns.mu.
	claimed  bool   // the host program has taken the connection
	released bool   // and has let go of it
	over     bool   // nothing is copied any more
	after    func() // called once it is over
}

// tailnetConn is what gVisor's TCP connection offers.
type tailnetConn interface {
	net.Conn
	CloseWrite() error
}

var lastID atomic.Uint64

// newConn joins c to a fresh descriptor, which it returns.
func newConn(n *Node, c net.Conn) (conn *Conn, fd int, err error) {
	tcp, ok := c.(tailnetConn)
	if !ok {
		return nil, -1, fmt.Errorf("a %T can't be half-closed", c)
	}
	pair, fd, err := socketpair()
	if err != nil {
		return nil, -1, err
	}
	conn = &Conn{ID: lastID.Add(1), node: n, net: tcp, pair: pair}
	if outgoing := n.outgoing.Load(); outgoing != nil && *outgoing != nil {
		conn.outgoing, conn.endpoint = *outgoing, endpointOf(c)
	}
	return conn, fd, nil
}

// start makes the connection known and copies both ways until both have ended.
// On failure the descriptors of the tailnet side are the caller's to close.
func (c *Conn) start() error {
	if !remember(c) {
		c.pair.Close()
		return errClosed()
	}
	var left atomic.Int32
	left.Store(2)
	direction := func(run func()) {
		run()
		if left.Add(-1) == 0 {
			c.end()
			forget(c)
		}
	}
	go direction(c.fromTailnet)
	go direction(c.toTailnet)
	return nil
}

// Abort breaks the connection at once: the peer sees a reset, and so does the
// host program if it still reads.
func (c *Conn) Abort() {
	c.reset.Store(true)
	c.end()
}

func (c *Conn) end() {
	c.closing.Do(func() {
		if c.reset.Load() {
			abortTCP(c.net)
			c.node.lastReset.Store(time.Now().UnixNano())
		}
		c.net.Close()
		c.pair.Close()
	})
}

func (c *Conn) fromTailnet() {
	readErr, writeErr := pump(c.pair, c.net)
	// A failed write: the host program closed its descriptor with bytes still
	// coming. As with a socket of the kernel, whoever sent them learns of it.
	if writeErr != nil || !errors.Is(readErr, io.EOF) {
		c.Abort()
		return
	}
	closeWrite(c.pair)
	c.directionEnded()
}

func (c *Conn) toTailnet() {
	readErr, writeErr := pump(counted{c.net, &c.passed}, c.pair)
	// A listener that is closed drops what nobody has accepted.
	if writeErr != nil || !errors.Is(readErr, io.EOF) || !claimed(c) || c.net.CloseWrite() != nil {
		c.Abort()
		return
	}
	c.directionEnded()
	// The host program's shutdown of one direction and its close look the same
	// to a reader, so wait for the second.
	awaitHangup(c.pair)
	c.end()
}

func (c *Conn) directionEnded() {
	if c.ended.Add(1) == 2 {
		c.end()
	}
}

// counted counts what it has written.
type counted struct {
	io.Writer
	n *atomic.Uint64
}

func (w counted) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.n.Add(uint64(n))
	return n, err
}
