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

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A Conn is one tailnet connection. The host program reads and writes it in its own
// threads, see ReadDirect and WriteDirect, or by a descriptor, see Descriptor. Each
// direction ends on its own; a reset on either side ends both and reaches the other
// side as a reset.
type Conn struct {
	ID       uint64 // names the connection for the host program; never reused
	Remote   netip.AddrPort
	Local    netip.AddrPort
	Identity []byte // JSON of Identity; nil for a dialled connection

	node     *Node
	listener *listener // nil for a dialled connection
	net      tailnetConn
	endpoint tcpip.Endpoint           // behind net; nil: only by descriptor
	outgoing chan *stack.PacketBuffer // where its packets wait for WireGuard
	reader   reader
	passed   atomic.Uint64 // bytes that have come through pair and that net has taken
	reset    atomic.Bool   // either side broke the connection
	ended    atomic.Int32  // directions that have come to their end
	closing  sync.Once

	mu     sync.Mutex
	pair   *os.File // the other end of the descriptor; nil: there is none
	closed bool     // and there will be none

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

func newConn(n *Node, c net.Conn) (*Conn, error) {
	tcp, ok := c.(tailnetConn)
	if !ok {
		return nil, fmt.Errorf("a %T can't be half-closed", c)
	}
	conn := &Conn{ID: lastID.Add(1), node: n, net: tcp}
	if outgoing := n.outgoing.Load(); outgoing != nil && *outgoing != nil {
		conn.outgoing, conn.endpoint = *outgoing, endpointOf(c)
	}
	return conn, nil
}

// Descriptor joins a connection that the host program has claimed to a fresh
// non-blocking descriptor, for what it writes and, unless it reads by ReadDirect,
// for what it reads. The connection ends when that is closed.
func Descriptor(id uint64) (fd int, err error) {
	c := find(id)
	if c == nil {
		return -1, errClosed()
	}
	ours, fd, err := socketpair()
	if err != nil {
		return -1, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.pair != nil {
		ours.Close()
		unix.Close(fd)
		return -1, errClosed()
	}
	c.pair = ours
	if !c.reader.isDirect() {
		go c.fromTailnet()
	}
	go func() {
		c.toTailnet()
		c.end()
		forget(c)
	}()
	return fd, nil
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
		c.mu.Lock()
		c.closed = true
		pair := c.pair
		c.mu.Unlock()
		if pair == nil {
			forget(c)
			return
		}
		pair.Close()
	})
}

// descriptor returns the other end of the descriptor, if there is one.
func (c *Conn) descriptor() *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pair
}

// Shutdown ends our side of a connection that has no descriptor.
func Shutdown(id uint64) {
	if c := find(id); c != nil {
		// Netstack may wait for room among its packets, which the caller must not.
		go func() {
			if c.net.CloseWrite() != nil {
				c.Abort()
				return
			}
			c.directionEnded()
		}()
	}
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
	if writeErr != nil || !errors.Is(readErr, io.EOF) || c.net.CloseWrite() != nil {
		c.Abort()
		return
	}
	c.directionEnded()
	// The host program's shutdown of one direction and its close look the same
	// to a reader, so wait for the second.
	awaitHangup(c.pair)
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
	moved(n)
	return n, err
}
