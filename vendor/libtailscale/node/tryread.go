package node

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	gwaiter "gvisor.dev/gvisor/pkg/waiter"
)

// reader is the read side of a connection.
type reader struct {
	mu       sync.Mutex
	onReady  func() // nil before OnReadable and after Release
	entry    gwaiter.Entry
	armed    atomic.Bool // a read found nothing; the next event calls onReady
	eof      atomic.Bool
	deferred atomic.Bool // a goroutine reads into buffered
	buffered []byte      // owned by that goroutine while deferred is set, else by TryRead
}

// NotifyEvent implements gwaiter.EventListener. Netstack calls it with locks of the
// connection held.
func (r *reader) NotifyEvent(gwaiter.EventMask) { r.notify() }

func (r *reader) notify() {
	if r.armed.CompareAndSwap(true, false) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.onReady != nil {
			r.onReady()
		}
	}
}

// stop ends the notifications. It waits for one that is running.
func (r *reader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onReady = nil
}

// OnReadable sets the callback for readiness. onReady runs on a thread that must not
// block, when there is something to read after TryRead returned ReadWouldBlock, until
// Release. Call OnReadable once, before the first TryRead.
func OnReadable(id uint64, onReady func()) {
	c := lookup(id)
	if c == nil {
		return // TryRead will return ReadReset
	}
	c.reader.mu.Lock()
	c.reader.onReady = onReady
	c.reader.mu.Unlock()
	c.reader.entry.Init(&c.reader, gwaiter.ReadableEvents|gwaiter.EventHUp|gwaiter.EventErr)
	queueOf(c.net).EventRegister(&c.reader.entry)
}

// ReadStatus is the outcome of TryRead.
type ReadStatus int

const (
	ReadOK         ReadStatus = iota
	ReadWouldBlock            // nothing to read yet
	ReadEOF                   // the peer has half-closed the connection
	ReadReset                 // the connection was reset
)

// ReadResult is what TryRead returns.
type ReadResult struct {
	N      int
	More   bool // another read may succeed at once
	Status ReadStatus
}

// TryRead reads what netstack has received, in the calling thread and without blocking.
// One thread at a time may read a connection.
//
// A read may send a window update, which goes to netstack's packet queue like the
// packets of TryWrite. Under backpressure a goroutine does the read, so that it queues
// fairly with writers and is not starved by them.
func TryRead(id uint64, into []byte) ReadResult {
	c := lookup(id)
	if c == nil || c.reset.Load() {
		return ReadResult{Status: ReadReset}
	}
	r := &c.reader
	if r.deferred.Load() {
		r.armed.Store(true)
		if r.deferred.Load() { // still: it will notify
			return ReadResult{Status: ReadWouldBlock}
		}
	}
	switch {
	case len(r.buffered) > 0:
		return r.takeBuffered(into)
	case r.eof.Load():
		return ReadResult{Status: ReadEOF}
	case c.backpressured():
		r.armed.Store(true)
		r.deferred.Store(true)
		go c.readDeferred()
		return ReadResult{Status: ReadWouldBlock}
	}
	return c.readNow(into)
}

func (r *reader) takeBuffered(into []byte) ReadResult {
	n := copy(into, r.buffered)
	if r.buffered = r.buffered[n:]; len(r.buffered) == 0 {
		r.buffered = nil
	}
	return ReadResult{N: n, More: true}
}

// readNow reads from netstack. Before it returns ReadWouldBlock it reads once more with
// the notification armed, since data may have arrived in between.
func (c *Conn) readNow(into []byte) ReadResult {
	for {
		n, status := c.read(into)
		switch {
		case n == len(into):
			return ReadResult{N: n, More: true}
		case n > 0:
			c.reader.armed.Store(true)
			return ReadResult{N: n, More: c.readable()}
		case status != ReadWouldBlock || c.reader.armed.Swap(true):
			return ReadResult{Status: status}
		}
	}
}

func (c *Conn) readable() bool { return c.endpoint.Readiness(gwaiter.ReadableEvents) != 0 }

// read reads from netstack and records the end of the stream.
func (c *Conn) read(into []byte) (int, ReadStatus) {
	w := tcpip.SliceWriter(into)
	result, err := c.endpoint.Read(&w, tcpip.ReadOptions{})
	switch err.(type) {
	case nil:
		c.endpoint.ModerateRecvBuf(result.Count)
		c.countTransferred(result.Count)
		return result.Count, ReadOK
	case *tcpip.ErrWouldBlock:
		return 0, ReadWouldBlock
	case *tcpip.ErrClosedForReceive:
		c.reader.eof.Store(true)
		c.endDirection()
		return 0, ReadEOF
	}
	c.Abort()
	return 0, ReadReset
}

// readDeferred reads once in a goroutine, which may block.
func (c *Conn) readDeferred() {
	r := &c.reader
	buf := make([]byte, directMax)
	n, status := c.read(buf)
	r.buffered = buf[:n]
	r.deferred.Store(false)
	// Data that arrived before the notification was armed has not been notified.
	if n > 0 || status != ReadWouldBlock || c.readable() {
		r.notify()
	}
}

// queueOf returns the queue on which netstack announces events of a connection.
func queueOf(c *gonet.TCPConn) *gwaiter.Queue {
	return private(c, "wq").(*gwaiter.Queue)
}
