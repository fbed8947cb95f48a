package node

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A Conn is one connection of a peer. The host program reads it with TryRead and
// writes it with TryWrite or, under backpressure, through a descriptor. Each direction
// ends on its own. A reset on either side ends both and reaches the other side as a
// reset.
type Conn struct {
	ID     uint64 // never reused
	Remote netip.AddrPort
	Local  netip.AddrPort
	peer   Identity

	node     *Node
	listener *listener
	net      *gonet.TCPConn
	endpoint tcpip.Endpoint           // behind net
	outgoing chan *stack.PacketBuffer // netstack's queue of packets for WireGuard
	buffers  *bufferBudget
	grown    atomic.Int64 // bytes; see countBuffers
	reader   reader
	streamed atomic.Uint64 // bytes from pair that net has taken
	reset    atomic.Bool   // by either side
	ended    atomic.Int32  // directions that have ended
	closing  sync.Once

	mu           sync.Mutex
	pair         *os.File // our end of the descriptor's socketpair; nil until Descriptor
	noDescriptor bool     // Descriptor must not make one any more

	// Guarded by conns.mu.
	claimed  bool // the host program has accepted the connection
	released bool // and released it
	finished bool // nothing is copied any more
}

// ConnInfo is what the host program learns of a connection when it claims it.
type ConnInfo struct {
	Remote netip.AddrPort `json:"remote"`
	Local  netip.AddrPort `json:"local"`
	Identity
}

// Info returns the addresses and the peer of the connection.
func (c *Conn) Info() ConnInfo { return ConnInfo{c.Remote, c.Local, c.peer} }

var lastID atomic.Uint64

func newConn(l *listener, c *gonet.TCPConn, remote, local netip.AddrPort, peer *Identity) *Conn {
	conn := &Conn{
		ID: lastID.Add(1), Remote: remote, Local: local, peer: *peer,
		node: l.node, listener: l, net: c, endpoint: endpointOf(c), outgoing: *l.node.outgoing.Load(), buffers: l.node.buffers.Load(),
	}
	conn.initBuffers()
	return conn
}

// Descriptor returns a non-blocking descriptor, through which the host program writes
// what TryWrite does not take. A connection has at most one. The connection ends when
// it is closed.
func Descriptor(id uint64) (fd int, err error) {
	c := lookup(id)
	if c == nil {
		return -1, ErrClosed
	}
	ours, fd, err := socketpair()
	if err != nil {
		return -1, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noDescriptor || c.pair != nil {
		ours.Close()
		unix.Close(fd)
		return -1, ErrClosed
	}
	c.pair = ours
	go func() {
		c.copyToPeer()
		c.end()
		finish(c)
	}()
	return fd, nil
}

// Abort resets the connection at once, for the peer and for the host program.
func (c *Conn) Abort() {
	c.reset.Store(true)
	c.end()
}

func (c *Conn) end() {
	c.closing.Do(func() {
		if c.reset.Load() {
			c.endpoint.Abort()
			c.node.lastReset.Store(time.Now().UnixNano())
		}
		c.net.Close()
		c.mu.Lock()
		c.noDescriptor = true
		pair := c.pair
		c.mu.Unlock()
		if pair == nil {
			finish(c)
			return
		}
		pair.Close()
	})
}

// descriptor returns our end of the socketpair, or nil.
func (c *Conn) descriptor() *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pair
}

// Shutdown half-closes a connection that has no descriptor.
func Shutdown(id uint64) {
	if c := lookup(id); c != nil {
		// Netstack may block until its packet queue has room. The caller must not.
		go func() {
			if c.net.CloseWrite() != nil {
				c.Abort()
				return
			}
			c.endDirection()
		}()
	}
}

// copyToPeer copies from the socketpair to netstack until the host program closes its
// descriptor.
func (c *Conn) copyToPeer() {
	readErr, writeErr := pump(countingWriter{c}, c.pair)
	if writeErr != nil || !errors.Is(readErr, io.EOF) || c.net.CloseWrite() != nil {
		c.Abort()
		return
	}
	c.endDirection()
	// A reader can't tell a shutdown from a close, so wait for the close.
	awaitHangup(c.pair)
}

func (c *Conn) endDirection() {
	if c.ended.Add(1) == 2 {
		c.end()
	}
}

// countingWriter writes to netstack and counts the bytes that it has written.
type countingWriter struct{ *Conn }

func (w countingWriter) Write(b []byte) (int, error) {
	n, err := w.net.Write(b)
	w.streamed.Add(uint64(n))
	w.countTransferred(n)
	return n, err
}
