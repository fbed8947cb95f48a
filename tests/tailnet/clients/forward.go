package clients

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// dialTimeout bounds the dial of a forwarded connection. It is longer than the retry of
// a lost WireGuard handshake, which takes 5 s.
const dialTimeout = 15 * time.Second

// A Forward is a loopback port whose connections are forwarded into the tailnet.
type Forward struct {
	Listen string `json:"listen"`
	To     string `json:"to"`

	client   *Client
	listener net.Listener
	ctx      context.Context // ends with the forward
	cancel   context.CancelFunc
}

// Forward opens a loopback port whose connections this client forwards to "host:port" in
// the tailnet.
func (c *Client) Forward(to string) (*Forward, error) {
	if _, _, err := splitTarget(to); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("forward to %s: %w", to, err)
	}
	f := &Forward{Listen: listener.Addr().String(), To: to, client: c, listener: listener}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		listener.Close()
		return nil, fmt.Errorf("client %q is stopped", c.Name)
	}
	c.forwards[f.Listen] = f
	go f.run()
	return f, nil
}

// Forwards lists the open forwards.
func (c *Client) Forwards() []*Forward {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []*Forward{}
	for _, f := range c.forwards {
		out = append(out, f)
	}
	return out
}

// RemoveForward closes the port at a listening address and resets its connections.
func (c *Client) RemoveForward(listen string) error {
	c.mu.Lock()
	f := c.forwards[listen]
	delete(c.forwards, listen)
	c.mu.Unlock()
	if f == nil {
		return fmt.Errorf("forward %q of client %q: %w", listen, c.Name, ErrNotFound)
	}
	f.close()
	return nil
}

func (f *Forward) close() {
	f.cancel()
	f.listener.Close()
}

func (f *Forward) run() {
	var failed sync.Once
	for {
		near, err := f.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			if err := f.carry(near.(*net.TCPConn)); err != nil {
				// Only the first: a test may make thousands of attempts.
				failed.Do(func() { f.client.logf("forward to %s: %v", f.To, err) })
			}
		}()
	}
}

// carry forwards one connection. If the dial fails it resets the connection: a plain
// close would look like a server that sends nothing.
func (f *Forward) carry(near *net.TCPConn) error {
	ctx, cancel := context.WithTimeout(f.ctx, dialTimeout)
	defer cancel()
	far, err := f.client.Dial(ctx, f.To)
	if err != nil {
		reset(near)
		return err
	}
	if bytes := f.client.receiveBuffer.Load(); bytes > 0 {
		near.SetWriteBuffer(int(bytes))
	}
	s := newSplice(near, far)
	defer context.AfterFunc(f.ctx, s.abort)()
	s.run()
	return nil
}
