package node

import (
	"context"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout leaves room for a tailnet peer that is asleep.
const dialTimeout = 30 * time.Second

// Dial connects to addr ("name:port" or "ip:port") on the tailnet and returns
// the connection's descriptor. The caller must release the connection.
func (n *Node) Dial(network, addr string) (conn *Conn, fd int, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, -1, errf(KindOther, "dial network %q: only tcp, tcp4 and tcp6", network)
	}
	if err := n.Start(); err != nil {
		return nil, -1, err
	}
	server, err := n.running()
	if err != nil {
		return nil, -1, err
	}
	ctx, cancel := context.WithTimeout(n.ctx, dialTimeout)
	defer cancel()
	c, err := server.Dial(ctx, network, addr)
	if err != nil {
		return nil, -1, errf(KindOther, "dial %s: %v", addr, err)
	}
	if conn, fd, err = newConn(n, c); err != nil {
		c.Close()
		return nil, -1, err
	}
	conn.Remote, conn.Local = addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	conn.claimed = true
	if err := conn.start(); err != nil {
		unix.Close(fd)
		c.Close()
		return nil, -1, err
	}
	return conn, fd, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), tcp.AddrPort().Port())
	}
	return netip.AddrPort{}
}
