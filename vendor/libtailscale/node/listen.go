package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait for the host program to accept
// them; further ones are reset, as the kernel does with a full backlog.
const backlog = 1024

const (
	whoIsTimeout = 5 * time.Second  // answered from memory; this only bounds a fault
	dialTimeout  = 30 * time.Second // a tailnet peer that is asleep takes a few
)

// Listen announces a TCP port on the node's own tailnet addresses and returns
// a descriptor that turns readable when a connection waits. Every message on
// it carries one connection's descriptor and, in eight bytes little-endian,
// its id (see Claim). Closing the descriptor ends the listener.
//
// network is tcp, tcp4 or tcp6; addr is ":port" or "ip:port" with an address
// of the node.
func (n *Node) Listen(network, addr string) (fd int, err error) {
	match, err := parseListen(network, addr)
	if err != nil {
		return -1, err
	}
	server, err := n.started()
	if err != nil {
		return -1, err
	}
	ours, theirs, err := socketpair()
	if err != nil {
		return -1, err
	}
	ln := &listener{node: n, handover: ours}
	// tsnet's own listener knows the peer's address only once the handshake is
	// over and drops what waits for more than a second. This hook has both
	// addresses from the first packet on.
	unregister := server.RegisterFallbackTCPHandler(func(src, dst netip.AddrPort) (func(net.Conn), bool) {
		if !match(dst) || !slices.Contains(n.Addresses(), dst.Addr()) || ln.waiting.Load() >= backlog {
			return nil, false
		}
		return func(c net.Conn) { ln.take(c, src, dst) }, true
	})
	stop := context.AfterFunc(n.ctx, func() { ours.Close() })
	go func() {
		defer stop()
		ours.Read(make([]byte, 1)) // returns when the host program closes its end
		unregister()
		ours.Close()
	}()
	return theirs, nil
}

type listener struct {
	node     *Node
	handover *os.File
	waiting  atomic.Int32
}

// take hands a connection over with the identity of its peer. A connection
// whose peer can't be told is reset.
func (l *listener) take(c net.Conn, src, dst netip.AddrPort) {
	l.waiting.Add(1)
	conn, err := l.offer(c, src, dst)
	l.waiting.Add(-1)
	if err != nil {
		l.node.logf("connection from %v refused: %v", src, err)
		abortTCP(c)
		c.Close()
		return
	}
	conn.run()
	// Had the host program closed the listener with this connection unaccepted,
	// nobody would release it.
	if !conn.claimed.Load() {
		conns.Delete(conn.ID)
	}
}

func (l *listener) offer(c net.Conn, src, dst netip.AddrPort) (*Conn, error) {
	tcp, ok := c.(tailnetConn)
	if !ok {
		return nil, fmt.Errorf("a %T can't be half-closed", c)
	}
	ctx, cancel := context.WithTimeout(l.node.ctx, whoIsTimeout)
	defer cancel()
	who, err := l.node.WhoIs(ctx, src)
	if err != nil {
		return nil, err
	}
	identity, err := who.encode()
	if err != nil {
		return nil, err
	}
	conn, fd, err := newConn(tcp)
	if err != nil {
		return nil, err
	}
	conn.Remote, conn.Local, conn.Identity = src, dst, identity
	conns.Store(conn.ID, conn)
	err = sendFD(l.handover, fd, conn.ID)
	unix.Close(fd)
	if err != nil {
		conns.Delete(conn.ID)
		conn.pair.Close()
		return nil, errors.New("the listener is closed")
	}
	return conn, nil
}

// Dial connects to addr ("name:port" or "ip:port") on the tailnet and returns
// the connection's descriptor. The caller must release the connection.
func (n *Node) Dial(network, addr string) (conn *Conn, fd int, err error) {
	server, err := n.started()
	if err != nil {
		return nil, -1, err
	}
	ctx, cancel := context.WithTimeout(n.ctx, dialTimeout)
	defer cancel()
	c, err := server.Dial(ctx, network, addr)
	if err != nil {
		return nil, -1, err
	}
	tcp, ok := c.(tailnetConn)
	if !ok {
		c.Close()
		return nil, -1, errf(KindOther, "network %q is not a stream: use tcp, tcp4 or tcp6", network)
	}
	conn, fd, err = newConn(tcp)
	if err != nil {
		c.Close()
		return nil, -1, err
	}
	conn.Remote, conn.Local = addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	conn.claimed.Store(true)
	conns.Store(conn.ID, conn)
	go conn.run()
	return conn, fd, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), tcp.AddrPort().Port())
	}
	return netip.AddrPort{}
}

// parseListen returns a predicate for the destinations that belong to a
// listener.
func parseListen(network, addr string) (func(netip.AddrPort) bool, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, errf(KindOther, "listen address %q: want \":port\" or \"ip:port\": %v", addr, err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, errf(KindOther, "listen address %q: the port must be 1 to 65535", addr)
	}
	var ip netip.Addr
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return nil, errf(KindOther, "listen address %q: %v", addr, err)
		}
	}
	var family func(netip.Addr) bool
	switch network {
	case "", "tcp":
		family = netip.Addr.IsValid
	case "tcp4":
		family = netip.Addr.Is4
	case "tcp6":
		family = netip.Addr.Is6
	default:
		return nil, errf(KindOther, "listen network %q: only tcp, tcp4 and tcp6", network)
	}
	return func(dst netip.AddrPort) bool {
		return dst.Port() == uint16(port) && family(dst.Addr()) && (host == "" || dst.Addr() == ip)
	}, nil
}
