package node

import (
	"io"
	"net"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	gwaiter "gvisor.dev/gvisor/pkg/waiter"
	"tailscale.com/tsnet"
)

// directMost is the largest piece, in bytes, that is handed over at once: a chunk of
// an answer, or a small answer.
const directMost = 8 << 10

// WriteDirect hands bytes of the host program to netstack in the calling thread,
// and returns how many it took. What it does not take, because it is much, netstack
// has no room or the connection is broken, goes through the descriptor, as does
// everything until the peer's side has all that went there before: after is how
// many bytes that is, so that nothing is overtaken.
//
// Through the descriptor a chunk of an answer needs a second thread to be woken
// and is copied twice more.
//
// Netstack's write ends in a queue of packets for WireGuard, and waits where that
// is full. So nothing is taken unless half of that is free: then it waits only if
// others fill that half in between, and for whoever holds a lock for a moment.
func WriteDirect(id uint64, parts [][]byte, after uint64) int {
	payload := &gathered{parts: parts}
	c := find(id)
	if c == nil || c.endpoint == nil || c.reset.Load() || c.passed.Load() != after || payload.Len() > directMost || c.mayWait() {
		return 0
	}
	// Any failure shows again, and in full, when the descriptor is used.
	n, _ := c.endpoint.Write(payload, tcpip.WriteOptions{})
	moved(int(n))
	return int(n)
}

// reader is a host program that reads past the descriptor, if it does.
type reader struct {
	mu     sync.Mutex
	wake   func() // nil: it does not, or no more
	entry  gwaiter.Entry
	hungry atomic.Bool // has found nothing to read, and wants to be woken
	ended  atomic.Bool // has come to the peer's end
	behind atomic.Bool // a goroutine reads for it, into kept
	kept   []byte      // while behind is not set, of whoever reads
}

func (r *reader) notify() {
	if r.hungry.CompareAndSwap(true, false) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.wake != nil {
			r.wake()
		}
	}
}

// stop returns once nobody is woken any more.
func (r *reader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake = nil
}

func (r *reader) isDirect() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wake != nil
}

// Watch has wake called, by a thread that must not wait, whenever ReadDirect has
// something for the host program after it had nothing; not after Release. To be
// called once, before anything is read. False: this connection, none of netstack's,
// has to be read by its descriptor.
func Watch(id uint64, wake func()) bool {
	c := find(id)
	if c == nil {
		return true // ReadDirect will say so
	}
	queue := queueOf(c.net)
	if c.endpoint == nil || queue == nil {
		return false
	}
	c.reader.mu.Lock()
	c.reader.wake = wake
	c.reader.mu.Unlock()
	c.reader.entry.Init(&c.reader, gwaiter.ReadableEvents|gwaiter.EventHUp|gwaiter.EventErr)
	queue.EventRegister(&c.reader.entry)
	return true
}

// NotifyEvent is called by netstack, with locks of the connection held.
func (r *reader) NotifyEvent(gwaiter.EventMask) { r.notify() }

// Read is how ReadDirect went where it took nothing.
type Read int

const (
	ReadNothing Read = iota // for now; the host program is woken once there is something
	ReadEnd                 // the peer has ended its side
	ReadReset               // the connection is broken
)

// ReadDirect takes what netstack has from the peer, in the calling thread, and
// says whether there may be more. One thread at a time may read.
//
// As a read may confirm what it took, its packets go where those of WriteDirect go.
// Where it might have to wait for them a goroutine reads in its place, which may, and
// stands in line there with those that write: no crowd of writers keeps anybody from
// being read.
func ReadDirect(id uint64, into []byte) (n int, more bool, none Read) {
	c := find(id)
	if c == nil || c.reset.Load() {
		return 0, false, ReadReset
	}
	r := &c.reader
	if r.behind.Load() {
		r.hungry.Store(true)
		if r.behind.Load() {
			return 0, false, ReadNothing
		}
	}
	if len(r.kept) > 0 {
		n = copy(into, r.kept)
		if r.kept = r.kept[n:]; len(r.kept) == 0 {
			r.kept = nil
		}
		return n, true, 0
	}
	switch {
	case r.ended.Load():
		return 0, false, ReadEnd
	case c.mayWait():
		r.hungry.Store(true)
		r.behind.Store(true)
		go c.readBehind()
		return 0, false, ReadNothing
	}
	for {
		n, none := c.read(into)
		switch {
		case n == len(into):
			return n, true, 0
		case n > 0:
			r.hungry.Store(true)
			return n, c.readable(), 0
		case none != ReadNothing || r.hungry.Swap(true):
			return 0, false, none
		}
	}
}

// mayWait reports whether netstack might have no room for a packet soon.
func (c *Conn) mayWait() bool { return 2*len(c.outgoing) > cap(c.outgoing) }

func (c *Conn) readable() bool { return c.endpoint.Readiness(gwaiter.ReadableEvents) != 0 }

// read takes what there is, and takes note of an end.
func (c *Conn) read(into []byte) (int, Read) {
	w := tcpip.SliceWriter(into)
	result, err := c.endpoint.Read(&w, tcpip.ReadOptions{})
	switch err.(type) {
	case nil:
		c.endpoint.ModerateRecvBuf(result.Count)
		moved(result.Count)
		return result.Count, 0
	case *tcpip.ErrWouldBlock:
		return 0, ReadNothing
	case *tcpip.ErrClosedForReceive:
		c.reader.ended.Store(true)
		c.directionEnded()
		return 0, ReadEnd
	}
	c.Abort()
	return 0, ReadReset
}

// readBehind reads once for a host program whose threads must not wait.
func (c *Conn) readBehind() {
	r := &c.reader
	buf := make([]byte, directMost)
	n, none := c.read(buf)
	r.kept = buf[:n]
	r.behind.Store(false)
	// What has come meanwhile has woken a reader that found nothing yet.
	if n > 0 || none != ReadNothing || c.readable() {
		r.notify()
	}
}

// queueOf returns whom netstack tells of changes of a connection; nil if it is none of
// netstack's.
func queueOf(c net.Conn) *gwaiter.Queue {
	if gvisor, ok := c.(*gonet.TCPConn); ok {
		return private(gvisor, "wq").(*gwaiter.Queue)
	}
	return nil
}

// gathered reads several slices as one.
type gathered struct {
	parts [][]byte
	read  int // of all of them
}

func (g *gathered) Len() int {
	n := -g.read
	for _, part := range g.parts {
		n += len(part)
	}
	return n
}

func (g *gathered) Read(b []byte) (n int, err error) {
	at := g.read
	for _, part := range g.parts {
		if at < len(part) {
			n += copy(b[n:], part[at:])
		}
		at = max(at-len(part), 0)
	}
	if g.read += n; n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

// outgoingOf returns the queue of packets that a server's netstack has for
// WireGuard.
func outgoingOf(server *tsnet.Server) chan *stack.PacketBuffer {
	return private(private(private(netstackOf(server), "linkEP"), "q"), "c").(chan *stack.PacketBuffer)
}
