package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
	"tailscale.com/tsnet"
)

// backlog is how many connections may wait for the host program to accept
// them; further ones are reset, as the kernel does with a full backlog.
const backlog = 1024

// listenKey says which destinations belong to a listener.
type listenKey struct {
	network string     // tcp, tcp4 or tcp6
	ip      netip.Addr // invalid: any address of the node
	port    uint16
}

type listener struct {
	node     *Node
	key      listenKey
	handover *os.File
	waiting  int // guarded by conns.mu
}

// listenerSet holds the open listeners of a node. Its lock is a leaf: tsnet
// calls in with locks of its own.
type listenerSet struct {
	mu sync.Mutex
	m  map[listenKey]*listener
}

// Listen announces a TCP port on the node's own tailnet addresses and returns
// a descriptor that turns readable when a connection waits. Every eight bytes on
// it, little-endian, are one connection's id (see Claim). Closing the descriptor
// ends the listener.
//
// network is tcp, tcp4 or tcp6; addr is ":port" or "ip:port" with an address
// of the node.
func (n *Node) Listen(network, addr string) (fd int, err error) {
	key, err := parseListen(network, addr)
	if err != nil {
		return -1, err
	}
	if err := n.Start(); err != nil {
		return -1, err
	}
	ours, theirs, err := socketpair()
	if err != nil {
		return -1, err
	}
	ln := &listener{node: n, key: key, handover: ours}
	if !n.listeners.add(ln) {
		ours.Close()
		unix.Close(theirs)
		return -1, errf(KindOther, "listen address %q: this node already listens there", addr)
	}
	stop := context.AfterFunc(n.ctx, func() { ours.Close() })
	go func() {
		defer stop()
		ours.Read(make([]byte, 1)) // returns when the host program closes its end
		n.listeners.remove(ln)
		ours.Close()
		ln.drop()
	}()
	return theirs, nil
}

func (s *listenerSet) add(ln *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	// One that the host program has just closed may not have noticed yet.
	if old := s.m[ln.key]; old != nil && !hungUp(old.handover) {
		return false
	}
	if s.m == nil {
		s.m = map[listenKey]*listener{}
	}
	s.m[ln.key] = ln
	return true
}

func (s *listenerSet) remove(ln *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[ln.key] == ln {
		delete(s.m, ln.key)
	}
}

// find returns the listener for a destination, the most particular one first.
func (s *listenerSet) find(dst netip.AddrPort) *listener {
	family := "tcp4"
	if dst.Addr().Is6() {
		family = "tcp6"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ip := range []netip.Addr{dst.Addr(), {}} {
		for _, network := range []string{family, "tcp"} {
			if ln := s.m[listenKey{network, ip, dst.Port()}]; ln != nil {
				return ln
			}
		}
	}
	return nil
}

// dispatch is tsnet's question what to do with a new connection. tsnet's own
// listeners know the peer's address only once the handshake is over and drop
// what waits for more than a second; here both addresses are known from the
// first packet on.
func (n *Node) dispatch(server *tsnet.Server, src, dst netip.AddrPort) (func(net.Conn), bool) {
	ln := n.listeners.find(dst)
	ours := slices.Contains(addressesOf(server), dst.Addr()) || n.takes(dst)
	if n.ctx.Err() != nil || ln == nil || ln.full() || !ours {
		return nil, false
	}
	return func(c net.Conn) {
		if err := ln.offer(c, src, dst); err != nil {
			n.logf("connection from %v refused: %v", src, err)
			abortTCP(c)
			c.Close()
		}
	}, true
}

// offer hands a connection over with the identity of its peer. It fails for a
// connection whose peer can't be told.
func (l *listener) offer(c net.Conn, src, dst netip.AddrPort) error {
	who, err := l.node.WhoIs(src)
	if err != nil {
		l.node.refusals.note(src.Addr(), err)
		return err
	}
	identity, err := who.encode()
	if err != nil {
		return err
	}
	conn, err := newConn(l.node, c)
	if err != nil {
		return err
	}
	conn.Remote, conn.Local, conn.Identity, conn.listener = src, dst, identity, l
	if !remember(conn) {
		return errClosed()
	}
	if _, err := l.handover.Write(binary.LittleEndian.AppendUint64(nil, conn.ID)); err != nil {
		conn.Abort()
		return fmt.Errorf("the listener is closed: %w", err)
	}
	return nil
}

func parseListen(network, addr string) (key listenKey, err error) {
	key.network = network
	switch network {
	case "":
		key.network = "tcp"
	case "tcp", "tcp4", "tcp6":
	default:
		return key, errf(KindOther, "listen network %q: only tcp, tcp4 and tcp6", network)
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return key, errf(KindOther, "listen address %q: want \":port\" or \"ip:port\": %v", addr, err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return key, errf(KindOther, "listen address %q: the port must be 1 to 65535", addr)
	}
	key.port = uint16(port)
	if host != "" {
		if key.ip, err = netip.ParseAddr(host); err != nil {
			return key, errf(KindOther, "listen address %q: %v", addr, err)
		}
		key.ip = key.ip.Unmap()
	}
	return key, nil
}
