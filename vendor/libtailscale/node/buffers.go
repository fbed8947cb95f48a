package node

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	gwaiter "gvisor.dev/gvisor/pkg/waiter"
	"tailscale.com/tsnet"
)

// Netstack grows the TCP buffers of a connection with its path: the send buffer to twice
// the congestion window, the receive buffer to some times what arrives within a round
// trip, of which half is the window. It grows them up to a maximum for all connections.
// With tailscale's own, 6 and 8 MiB, a thousand peers that do not read could exhaust the
// memory.
//
// So the maximum is the largest of 4 MiB, 2 MiB and so on that is at most an eighth of
// what is left of a budget for all connections, but at least bufferFloor. With 4 MiB a
// connection can fill a path of 300 Mbit/s and 50 ms. What many have taken lowers the
// maximum of all, and what they close raises it again.
const (
	buffersTotal   = 64 << 20  // bytes beyond the floors of all connections
	buffersShare   = 8         // part of the rest that one buffer may take at most
	bufferCeiling  = 4 << 20   // bytes that a buffer may take at most
	bufferFloor    = 256 << 10 // bytes that each buffer of a connection may take in any case
	sendInitial    = 64 << 10
	receiveInitial = bufferFloor
)

// A bufferBudget bounds the TCP buffers of all connections of a server together.
type bufferBudget struct {
	setMaximum func(bytes int64)

	mu      sync.Mutex
	total   int64
	grown   int64 // bytes by which buffers exceed bufferFloor
	maximum int64 // bytes of a buffer
}

// newBufferBudget applies a budget to new connections of a server.
func newBufferBudget(server *tsnet.Server) *bufferBudget {
	impl := netstackOf(server)
	b := &bufferBudget{total: buffersTotal, setMaximum: func(bytes int64) {
		impl.SetTransportProtocolOption(tcp.ProtocolNumber, &tcpip.TCPSendBufferSizeRangeOption{
			Min: tcp.MinBufferSize, Default: sendInitial, Max: int(bytes),
		})
		impl.SetTransportProtocolOption(tcp.ProtocolNumber, &tcpip.TCPReceiveBufferSizeRangeOption{
			Min: tcp.MinBufferSize, Default: receiveInitial, Max: int(bytes),
		})
		if bytes < bufferCeiling {
			memory.setGrown(buffersTotal / 2)
		} else {
			memory.setGrown(0)
		}
	}}
	b.add(0)
	return b
}

// add counts growth, negative for what was closed.
func (b *bufferBudget) add(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grown += bytes
	maximum := int64(bufferCeiling)
	for maximum > bufferFloor && maximum*buffersShare > b.total-b.grown {
		maximum /= 2
	}
	if maximum == b.maximum {
		return
	}
	lowered := maximum < b.maximum
	b.maximum = maximum
	b.setMaximum(maximum)
	if lowered {
		go b.shrink(maximum)
	}
}

// shrink makes no send buffer larger than a maximum that has been set, and wakes every
// writer. Netstack shrinks a buffer itself when the peer acknowledges data, but it wakes
// the writer only when that leaves the buffer half empty, compared with the half of the
// size of before. What the peer has acknowledged in between may be all there was, so no
// later acknowledgement would wake the writer. Receive buffers never shrink: the peer may
// use them already.
func (b *bufferBudget) shrink(maximum int64) {
	for _, c := range connsWith(b) {
		ep := c.endpoint.(*tcp.Endpoint)
		ep.LockUser() // else netstack may be about to set a size by the maximum of before
		if sizes := ep.SocketOptions(); sizes.GetSendBufferSize() > maximum {
			sizes.SetSendBufferSize(maximum, false)
		}
		ep.UnlockUser()
		queueOf(c.net).Notify(gwaiter.WritableEvents)
	}
}

// connsWith returns the connections of a budget.
func connsWith(b *bufferBudget) (all []*Conn) {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	for _, c := range conns.m {
		if c.buffers == b {
			all = append(all, c)
		}
	}
	return all
}

// initBuffers sets the receive buffer of a new connection. Tailscale's forwarder gives it
// 1 MiB, whatever the default is. Nothing beyond receiveInitial has been announced yet.
func (c *Conn) initBuffers() {
	c.endpoint.SocketOptions().SetReceiveBufferSize(receiveInitial, false)
}

// countBuffers counts by how much the buffers have grown. It runs after each read and
// write: what grows in between, while a peer takes at most a large buffer of pump, is
// counted with the next.
func (c *Conn) countBuffers() {
	sizes := c.endpoint.SocketOptions()
	grown := max(0, sizes.GetSendBufferSize()-bufferFloor) + max(0, sizes.GetReceiveBufferSize()-bufferFloor)
	before := c.grown.Load()
	if grown != before && before != removed && c.grown.CompareAndSwap(before, grown) {
		c.buffers.add(grown - before)
	}
}

// removed is the growth of a connection that is counted no more.
const removed = -1

// uncountBuffers ends the count of a removed connection.
func (c *Conn) uncountBuffers() {
	if grown := c.grown.Swap(removed); grown > 0 {
		c.buffers.add(-grown)
	}
}
