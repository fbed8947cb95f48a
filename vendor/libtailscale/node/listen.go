package node

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"tailscale.com/tsnet"
)

// backlog is how many connections may wait to be claimed. More are reset, as a kernel
// does with a full backlog.
const backlog = 1024

type listener struct {
	node    *Node
	port    uint16
	queue   *os.File // our end of the socketpair
	pending int      // connections that wait to be claimed; guarded by conns.mu
}

// listenerSet holds the open listeners of a node by port. Its lock is a leaf: tsnet
// calls find with its own locks held.
type listenerSet struct {
	mu sync.Mutex
	m  map[uint16]*listener
}

// Listen listens on a TCP port of the node's tailnet addresses. It returns a descriptor
// on which every eight bytes, little-endian, are the id of a connection for Claim.
// Closing the descriptor ends the listener.
func (n *Node) Listen(port uint16) (fd int, err error) {
	if err := n.Start(); err != nil {
		return -1, err
	}
	ours, theirs, err := socketpair()
	if err != nil {
		return -1, err
	}
	ln := &listener{node: n, port: port, queue: ours}
	if !n.listeners.add(ln) {
		ours.Close()
		unix.Close(theirs)
		return -1, errf(KindOther, "listen: the port already has a listener (port=%d)", port)
	}
	stop := context.AfterFunc(n.ctx, func() { ours.Close() })
	go func() {
		defer stop()
		ours.Read(make([]byte, 1)) // returns when the host program closes its end
		n.listeners.remove(ln)
		ours.Close()
		ln.resetPending()
	}()
	return theirs, nil
}

func (s *listenerSet) add(ln *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The goroutine of a listener that was just closed may not have removed it yet.
	if old := s.m[ln.port]; old != nil && !hungUp(old.queue) {
		return false
	}
	if s.m == nil {
		s.m = map[uint16]*listener{}
	}
	s.m[ln.port] = ln
	return true
}

func (s *listenerSet) remove(ln *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[ln.port] == ln {
		delete(s.m, ln.port)
	}
}

func (s *listenerSet) find(port uint16) *listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[port]
}

// dispatch is the handler that tsnet asks about each new connection. tsnet's own
// listeners know the peer's address only after the handshake, and drop connections that
// wait for more than a second. Here both addresses are known from the first packet.
func (n *Node) dispatch(server *tsnet.Server, src, dst netip.AddrPort) (func(net.Conn), bool) {
	ln := n.listeners.find(dst.Port())
	ours := slices.Contains(addressesOf(server), dst.Addr()) || n.isHosted(dst)
	if n.ctx.Err() != nil || ln == nil || ln.full() || !ours {
		return nil, false
	}
	return func(c net.Conn) {
		if err := ln.deliver(c, src, dst); err != nil {
			n.logf("refuse connection: %v (peer=%v)", err, src)
			refuse(c)
		}
	}, true
}

// deliver queues a connection for the host program, with the identity of its peer. It
// fails if the peer can't be identified.
func (l *listener) deliver(c net.Conn, src, dst netip.AddrPort) error {
	peer, err := l.node.identify(src)
	if err != nil {
		l.node.refusals.add(src.Addr(), err)
		return err
	}
	tcp, ok := c.(*gonet.TCPConn)
	if !ok {
		return errf(KindOther, "deliver connection: it is a %T, not a connection of netstack", c)
	}
	conn := newConn(l, tcp, src, dst, peer)
	if !addConn(conn) {
		return ErrClosed
	}
	if _, err := l.queue.Write(binary.LittleEndian.AppendUint64(nil, conn.ID)); err != nil {
		conn.Abort()
		return errf(KindOther, "deliver connection: the listener is closed: %v", err)
	}
	return nil
}
