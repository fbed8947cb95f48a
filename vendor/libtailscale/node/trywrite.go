package node

import (
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"tailscale.com/tsnet"
)

// directMax is the largest write, in bytes, that TryWrite takes: a chunk of a streamed
// answer, or a small answer.
const directMax = 8 << 10

// TryWrite writes to netstack in the calling thread, without blocking, and returns the
// number of bytes that it took. It takes nothing if there are more than directMax
// bytes, under backpressure, or if the connection is broken; the host program then
// writes to the descriptor. streamed is the number of bytes ever written there. TryWrite
// takes nothing until netstack has them all, which keeps the order.
//
// A write through the descriptor costs a second thread's wake-up and two more copies.
//
// Netstack's write ends in its queue of packets for WireGuard, and blocks if that is
// full. So TryWrite takes nothing unless half of the queue is free. It blocks only if
// other connections fill that half at the same moment.
func TryWrite(id uint64, parts [][]byte, streamed uint64) int {
	payload := &partsReader{parts: parts}
	c := lookup(id)
	if c == nil || c.reset.Load() || c.streamed.Load() != streamed || payload.Len() > directMax || c.backpressured() {
		return 0
	}
	// The descriptor reports a failure again, and in full.
	n, _ := c.endpoint.Write(payload, tcpip.WriteOptions{})
	c.countTransferred(int(n))
	return int(n)
}

// backpressured reports whether netstack's packet queue is more than half full.
func (c *Conn) backpressured() bool { return 2*len(c.outgoing) > cap(c.outgoing) }

// packetQueueOf returns netstack's queue of packets for WireGuard.
func packetQueueOf(server *tsnet.Server) chan *stack.PacketBuffer {
	return private(private(private(netstackOf(server), "linkEP"), "q"), "c").(chan *stack.PacketBuffer)
}

// partsReader reads several slices as one. It implements tcpip.Payloader.
type partsReader struct {
	parts [][]byte
	off   int // in the concatenation of parts
}

func (r *partsReader) Len() int {
	n := -r.off
	for _, part := range r.parts {
		n += len(part)
	}
	return n
}

func (r *partsReader) Read(b []byte) (n int, err error) {
	off := r.off
	for _, part := range r.parts {
		if off < len(part) {
			n += copy(b[n:], part[off:])
		}
		off = max(off-len(part), 0)
	}
	if r.off += n; n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}
