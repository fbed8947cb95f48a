package node

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Conn is one tailnet connection whose other half is a descriptor that the
// host program holds. Each direction ends on its own; a reset on either side
// ends both and reaches the other side as a reset.
type Conn struct {
	ID       uint64 // names the connection for the host program; never reused
	Remote   netip.AddrPort
	Local    netip.AddrPort
	Identity []byte // JSON of Identity; nil for a dialled connection

	net   tailnetConn
	pair  *os.File
	reset atomic.Bool // either side broke the connection
	done  sync.Once
	ended chan struct{}

	claimed atomic.Bool // the host program knows the id and will release it
}

// tailnetConn is what gVisor's TCP connection offers.
type tailnetConn interface {
	net.Conn
	CloseWrite() error
}

// newConn joins c to a fresh descriptor, which it returns, and starts copying.
func newConn(c tailnetConn) (conn *Conn, fd int, err error) {
	pair, fd, err := socketpair()
	if err != nil {
		return nil, -1, err
	}
	conn = &Conn{ID: lastID.Add(1), net: c, pair: pair, ended: make(chan struct{})}
	return conn, fd, nil
}

var lastID atomic.Uint64

// run copies until both directions have ended.
func (c *Conn) run() {
	var both sync.WaitGroup
	both.Go(c.fromTailnet)
	c.toTailnet()
	both.Wait()
	c.end()
}

// Abort breaks the connection at once: the peer sees a reset.
func (c *Conn) Abort() {
	c.reset.Store(true)
	c.end()
}

func (c *Conn) end() {
	c.done.Do(func() {
		if c.reset.Load() {
			abortTCP(c.net)
		}
		c.net.Close()
		c.pair.Close()
		close(c.ended)
	})
}

func (c *Conn) fromTailnet() {
	switch readErr, writeErr := pump(c.pair, c.net); {
	case writeErr != nil:
		// The host program closed its descriptor with bytes still coming.
		// As with a socket of the kernel, whoever sent them learns of it.
		c.Abort()
	case errors.Is(readErr, io.EOF):
		closeWrite(c.pair)
	default:
		c.Abort()
	}
}

func (c *Conn) toTailnet() {
	readErr, writeErr := pump(c.net, c.pair)
	if writeErr != nil || !errors.Is(readErr, io.EOF) {
		c.Abort()
		return
	}
	if c.net.CloseWrite() != nil {
		c.Abort()
		return
	}
	c.awaitHangup()
}

// awaitHangup ends the connection when the host program has closed its
// descriptor altogether. Its shutdown of one direction and its close look the
// same to a reader, and no poller of Go's tells of the second after the first.
func (c *Conn) awaitHangup() {
	const interval = 250 * time.Millisecond
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-c.ended:
			return
		case <-tick.C:
		}
		if hungUp(c.pair) {
			c.end()
			return
		}
		tick.Reset(interval)
	}
}

const (
	smallBuffer = 2 << 10  // what an idle direction holds
	largeBuffer = 64 << 10 // what a busy one borrows
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// pump copies from src to dst until one of them fails, and says which. It
// reads into a small buffer and borrows a large one only while reads fill what
// they are given, so that idle connections stay cheap.
func pump(dst io.Writer, src io.Reader) (readErr, writeErr error) {
	small := make([]byte, smallBuffer)
	buf := small
	var large *[largeBuffer]byte
	defer func() {
		if large != nil {
			largeBuffers.Put(large)
		}
	}()
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return nil, err
			}
		}
		if err != nil {
			return err, nil
		}
		switch {
		case large == nil && n == smallBuffer:
			large = largeBuffers.Get().(*[largeBuffer]byte)
			buf = large[:]
		case large != nil && n < smallBuffer:
			largeBuffers.Put(large)
			large, buf = nil, small
		}
	}
}

// conns holds the connections that the host program may name by id.
var conns sync.Map // uint64 → *Conn

// Claim returns the connection with this id, which the host program will
// release; nil when there is none.
func Claim(id uint64) *Conn {
	c, ok := conns.Load(id)
	if !ok {
		return nil
	}
	conn := c.(*Conn)
	conn.claimed.Store(true)
	return conn
}

// WasReset reports whether the connection with this id was broken rather than
// ended.
func WasReset(id uint64) bool {
	c, ok := conns.Load(id)
	return ok && c.(*Conn).reset.Load()
}

// Release forgets the connection: the host program has closed its descriptor.
// With abort, the peer sees a reset even if all bytes had been passed on.
func Release(id uint64, abort bool) {
	c, ok := conns.LoadAndDelete(id)
	if !ok {
		return
	}
	conn := c.(*Conn)
	if abort {
		conn.Abort()
	}
}

// sendFD passes fd and the id of its connection through a stream socket.
func sendFD(over *os.File, fd int, id uint64) error {
	raw, err := over.SyscallConn()
	if err != nil {
		return err
	}
	var msg [8]byte
	for i := range msg {
		msg[i] = byte(id >> (8 * i))
	}
	var sent error
	err = raw.Write(func(s uintptr) bool {
		sent = unix.Sendmsg(int(s), msg[:], unix.UnixRights(fd), nil, 0)
		return !errors.Is(sent, unix.EAGAIN)
	})
	return errors.Join(err, sent)
}
