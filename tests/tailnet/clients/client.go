package clients

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tailscale.com/tsnet"
	"tailscale.com/types/logger"
	"tailscale.com/wgengine/netstack"
)

// A Client is a device that is up.
type Client struct {
	Name      string       `json:"name"` // first label of DNSName
	DNSName   string       `json:"dns_name"`
	Addresses []netip.Addr `json:"addresses"`
	StableID  string       `json:"stable_id"`

	server  *tsnet.Server
	dir     string
	control Control
	logf    logger.Logf

	receiveBuffer atomic.Int64 // bytes; 0: the defaults

	mu       sync.Mutex
	closed   bool
	forwards map[string]*Forward // by listening address
	peers    map[netip.Addr]*handshake
	link     *link // nil: packets take the direct way
}

// Dial connects to "host:port" in the tailnet.
//
// It fails at once for a destination that the policy hides. It waits for a visible one,
// since the client receives a netmap a moment after the control server has it.
func (c *Client) Dial(ctx context.Context, to string) (net.Conn, error) {
	host, port, err := splitTarget(to)
	if err != nil {
		return nil, err
	}
	addr, err := c.resolve(ctx, host, port)
	if err != nil {
		return nil, err
	}
	c.awaitHandshake(ctx, addr.Addr())
	stack, ok := c.server.Sys().Netstack.Get().(*netstack.Impl)
	if !ok {
		return nil, fmt.Errorf("%s has no netstack to dial %s", c.Name, to)
	}
	conn, err := stack.DialContextTCP(ctx, addr)
	if err != nil { // the nil *gonet.TCPConn would be a non-nil net.Conn
		return nil, fmt.Errorf("%s to %s: %w", c.Name, to, err)
	}
	return conn, nil
}

// CheckTarget fails if a destination is not "host:port".
func CheckTarget(to string) error {
	_, _, err := splitTarget(to)
	return err
}

func splitTarget(to string) (host string, port uint16, err error) {
	host, portText, err := net.SplitHostPort(to)
	if err != nil || host == "" {
		return "", 0, fmt.Errorf("to: %q is not of the form host:port", to)
	}
	n, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("to: %q: port %q is no number from 1 to 65535", to, portText)
	}
	return host, uint16(n), nil
}

// resolve returns the address of a peer, once the client has it in its netmap. tsnet's
// own dialer is not used: it asks the system's DNS for unknown names, and it connects
// outside the tailnet to an address that no peer has, or that ResendPeer has just
// removed.
func (c *Client) resolve(ctx context.Context, host string, port uint16) (netip.AddrPort, error) {
	const interval = 5 * time.Millisecond
	for {
		ip, ok := c.control.Resolve(c.StableID, host)
		if !ok {
			return netip.AddrPort{}, fmt.Errorf("%s sees no node %q: the tailnet has none, or the policy hides it", c.Name, host)
		}
		to := netip.AddrPortFrom(ip, port)
		if _, known, _ := c.server.Sys().Dialer.Get().UserDialPlan(ctx, "tcp", to.String()); known {
			return to, nil
		}
		select {
		case <-ctx.Done():
			return netip.AddrPort{}, fmt.Errorf("%s has not received node %q in time: %w", c.Name, host, context.Cause(ctx))
		case <-time.After(interval):
		}
	}
}

func (c *Client) close() error {
	c.mu.Lock()
	c.closed = true
	forwards := c.forwards
	c.forwards = nil
	c.mu.Unlock()
	for _, f := range forwards {
		f.close()
	}
	err := c.server.Close()
	os.RemoveAll(c.dir)
	return err
}
