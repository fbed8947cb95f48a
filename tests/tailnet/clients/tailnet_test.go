package clients

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"remote-ollama-proxy/tests/tailnet/control"
	"remote-ollama-proxy/tests/tailnet/relay"
	"tailscale.com/envknob"
	"tailscale.com/net/netns"
	"tailscale.com/tstest"
	"tailscale.com/types/logger"
)

const open = `{
	"tagOwners": {"tag:server": [], "tag:client": [], "tag:ci": []},
	"grants": [{"src": ["tag:client", "autogroup:member"], "dst": ["tag:server"], "ip": ["tcp:*"]}],
}`

const closed = `{"tagOwners": {"tag:server": [], "tag:client": [], "tag:ci": []}, "grants": []}`

// tailnet is a complete tailnet with real nodes.
type tailnet struct {
	*Manager
	control *control.Server // the manager has it as a Control
	relay   *relay.Relay
}

func newTailnet(t *testing.T) *tailnet {
	t.Helper()
	netns.SetEnabled(false)
	envknob.SetNoLogsNoSupport()
	r, err := relay.Listen(logger.Discard)
	must(t, err)
	t.Cleanup(r.Close)
	c, err := control.Listen("127.0.0.1:0", r.Map(), logger.Discard)
	must(t, err)
	t.Cleanup(c.Close)
	must(t, c.SetPolicy([]byte(open)))
	m := NewManager(c, t.TempDir(), logger.Discard)
	t.Cleanup(m.Close)
	return &tailnet{m, c, r}
}

func (tn *tailnet) start(t *testing.T, hostname, tag string) *Client {
	t.Helper()
	c, err := tn.Start(deadline(t), hostname, []string{tag}, "")
	must(t, err)
	return c
}

// pair is a client, a server, and a forward of the client to the server.
type pair struct {
	*tailnet
	client, server *Client
	forward        *Forward
	accepted       net.Listener
}

func newPair(t *testing.T) *pair {
	t.Helper()
	tn := newTailnet(t)
	p := &pair{tailnet: tn, server: tn.start(t, "server", "tag:server"), client: tn.start(t, "client", "tag:client")}
	var err error
	p.accepted, err = p.server.server.Listen("tcp", ":80")
	must(t, err)
	p.forward, err = p.client.Forward("server:80")
	must(t, err)
	return p
}

// connect opens a connection through the forward; far is the server's end.
func (p *pair) connect(t *testing.T) (near *net.TCPConn, far net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", p.forward.Listen)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	far, err = p.accepted.Accept()
	must(t, err)
	t.Cleanup(func() { far.Close() })
	return c.(*net.TCPConn), far
}

// reach dials until the result is as wanted: nodes apply a netmap some time after they
// receive it.
func reach(t *testing.T, c *Client, to string, want bool) {
	t.Helper()
	var last error
	eventually(t, to+" is reached from "+c.Name, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		conn, err := c.Dial(ctx, to)
		if last = err; err == nil {
			conn.Close()
		}
		return (err == nil) == want
	})
	t.Logf("%s to %s: %v", c.Name, to, last)
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits, with tailscale's backoff, for a condition that another goroutine
// establishes without an event.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	err := tstest.WaitFor(time.Minute, func() error {
		if ok() {
			return nil
		}
		return errors.New("not yet")
	})
	if err != nil {
		t.Fatalf("after a minute: %s: %v", what, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contains(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v, want an error with %q", err, part)
	}
}
