package node

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// dialTimeout leaves room for a tailnet peer that is asleep.
const dialTimeout = 30 * time.Second

// Dial connects to addr ("name:port" or "ip:port") on the tailnet and returns
// the connection, which the caller must release.
func (n *Node) Dial(network, addr string) (*Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, errf(KindOther, "dial network %q: only tcp, tcp4 and tcp6", network)
	}
	if err := n.Start(); err != nil {
		return nil, err
	}
	server, err := n.running()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(n.ctx, dialTimeout)
	defer cancel()
	c, err := server.Dial(ctx, network, addr)
	if err != nil {
		return nil, errf(KindOther, "dial %s: %v", addr, err)
	}
	conn, err := newConn(n, c)
	if err != nil {
		c.Close()
		return nil, err
	}
	conn.Remote, conn.Local = addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	conn.claimed = true
	if !remember(conn) {
		c.Close()
		return nil, errClosed()
	}
	return conn, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), tcp.AddrPort().Port())
	}
	return netip.AddrPort{}
}
