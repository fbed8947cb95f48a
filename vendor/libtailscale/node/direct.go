package node

import (
	"io"
	"reflect"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
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
	if c == nil || c.endpoint == nil || c.passed.Load() != after || payload.Len() > directMost || 2*len(c.outgoing) > cap(c.outgoing) {
		return 0
	}
	// Any failure shows again, and in full, when the descriptor is used.
	n, _ := c.endpoint.Write(payload, tcpip.WriteOptions{})
	return int(n)
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
// WireGuard; nil, and TestDirectWritesOvertakeNothing fails, if it is not where it was.
func outgoingOf(server *tsnet.Server) chan *stack.PacketBuffer {
	at := any(server.Sys().Netstack.Get())
	for _, field := range []string{"linkEP", "q", "c"} {
		if v := reflect.ValueOf(at); v.Kind() != reflect.Pointer || v.IsNil() {
			return nil
		}
		at = private(at, field)
	}
	outgoing, _ := at.(chan *stack.PacketBuffer)
	return outgoing
}
