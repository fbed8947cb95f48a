package clients

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"tailscale.com/net/sockopts"
	"tailscale.com/types/nettype"
)

// A Link is a path with latency and loss, as between two networks.
type Link struct {
	Delay time.Duration // of each packet, each way
	Loss  float64       // share of packets that are lost, each way
	Seed  uint64        // of the choice of lost packets
}

// SetLink makes the UDP packets of the client take such a link, to and from all peers, in
// place of the one before. Packets through the relay do not take it: see LinkBytes.
//
// The first call changes the client's sockets, as when a laptop changes networks. They then
// send and receive one packet at a time, which takes more processor time.
func (c *Client) SetLink(to Link) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		c.link.set(to)
		return nil
	}
	link := &link{}
	link.set(to)
	if err := c.listenPackets(link); err != nil {
		return err
	}
	c.link = link
	return nil
}

// RemoveLink makes packets take the direct way again.
func (c *Client) RemoveLink() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = nil
	return c.listenPackets(nil)
}

// LinkBytes returns the size of all packets that the link has delivered, both ways.
func (c *Client) LinkBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return 0
	}
	return c.link.delivered.Load()
}

// listenPackets replaces the client's UDP sockets by those of a listener; nil: usual ones.
func (c *Client) listenPackets(listener nettype.PacketListener) error {
	socket := c.socket()
	// The field is private; TestLinkDelaysAndLosesPackets fails if it is renamed.
	field := reflect.ValueOf(socket).Elem().FieldByName("testOnlyPacketListener")
	if !field.IsValid() {
		return errors.New("magicsock has no testOnlyPacketListener")
	}
	at, ok := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Interface().(*nettype.PacketListener)
	if !ok {
		return errors.New("magicsock's testOnlyPacketListener is no nettype.PacketListener")
	}
	*at = listener
	socket.Rebind()
	return nil
}

// link makes the sockets of a client.
type link struct {
	delivered atomic.Int64 // bytes

	mu sync.Mutex
	Link
	lines map[line]*rand.Rand
}

// A line is one direction to or from a peer. Each loses packets by a sequence of its own, which is
// the same for all peers.
type line struct {
	peer netip.AddrPort
	out  bool
}

func (l *link) set(to Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Link, l.lines = to, map[line]*rand.Rand{}
}

// take returns when a packet of now is due at the other end; false if it is lost.
func (l *link) take(on line) (due time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sequence := l.lines[on]
	if sequence == nil {
		direction := uint64(0)
		if on.out {
			direction = 1
		}
		sequence = rand.New(rand.NewPCG(l.Seed, direction))
		l.lines[on] = sequence
	}
	return time.Now().Add(l.Delay), sequence.Float64() >= l.Loss
}

func (l *link) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	at, err := net.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP(network, at)
	if err != nil {
		return nil, err
	}
	for _, direction := range []sockopts.BufferDirection{sockopts.ReadDirection, sockopts.WriteDirection} {
		sockopts.SetBufferSize(udp, direction, 7<<20) // as magicsock: as far as the system allows
	}
	const most = 1 << 15 // more than any window has in flight
	c := &linkConn{udp, l, make(chan packet, most), make(chan packet, most)}
	go c.receive()
	go c.send()
	return c, nil
}

// linkConn is a UDP socket behind a link.
type linkConn struct {
	*net.UDPConn
	link *link
	in   chan packet // closed with the socket
	out  chan packet
}

// A packet is on its way.
type packet struct {
	data []byte
	peer netip.AddrPort
	due  time.Time
}

// receive puts packets from the socket on their way.
func (c *linkConn) receive() {
	defer func() {
		close(c.in)
		c.out <- packet{} // which send can't deliver
	}()
	for buf := make([]byte, 64<<10); ; {
		n, peer, err := c.UDPConn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			c.put(c.in, buf[:n], line{peer, false})
		}
	}
}

// put puts a packet on its way, unless it is lost.
func (c *linkConn) put(way chan packet, data []byte, on line) {
	due, ok := c.link.take(on)
	if !ok {
		return
	}
	select {
	case way <- packet{slices.Clone(data), on.peer, due}:
	default: // the queue is full
	}
}

func (c *linkConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	p, ok := <-c.in
	if !ok {
		return 0, netip.AddrPort{}, net.ErrClosed
	}
	time.Sleep(time.Until(p.due))
	c.link.delivered.Add(int64(len(p.data)))
	return copy(b, p.data), p.peer, nil
}

func (c *linkConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c.put(c.out, b, line{to, true})
	return len(b), nil
}

// send delivers what was written, until the socket is closed.
func (c *linkConn) send() {
	for p := range c.out {
		time.Sleep(time.Until(p.due))
		_, err := c.UDPConn.WriteToUDPAddrPort(p.data, p.peer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		c.link.delivered.Add(int64(len(p.data)))
	}
}
