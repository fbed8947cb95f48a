// Package tailnet is the test tailnet with the measuring client. Both run in this process,
// so that no forwarding hop is measured.
package tailnet

import (
	"context"
	"fmt"
	"net"
	"time"

	"remote-ollama-proxy/tests/tailnet/clients"
	"remote-ollama-proxy/tests/tailnet/control"
	"remote-ollama-proxy/tests/tailnet/relay"
	"tailscale.com/envknob"
	"tailscale.com/net/netns"
	"tailscale.com/types/logger"
)

// Port is where contestants listen in the tailnet.
const Port = 11434

// A Tailnet runs as long as the process: a netstack with thousands of closing connections
// may never stop.
type Tailnet struct {
	Control *control.Server

	client  *clients.Client
	offline int
}

// Start starts a tailnet with its files under dir.
func Start(ctx context.Context, dir string) (*Tailnet, error) {
	netns.SetEnabled(false) // sockets must reach loopback
	envknob.SetNoLogsNoSupport()
	envknob.Setenv("TS_DISABLE_PORTMAPPER", "true")
	relay, err := relay.Listen(logger.Discard)
	if err != nil {
		return nil, err
	}
	control, err := control.Listen("127.0.0.1:0", relay.Map(), logger.Discard)
	if err != nil {
		return nil, err
	}
	t := &Tailnet{Control: control}
	if err := t.Grant(1); err != nil {
		return nil, err
	}
	devices := clients.NewManager(control, dir, logger.Discard)
	t.client, err = devices.Start(ctx, "client", []string{"tag:ai-client"}, "")
	return t, err
}

// Grant sets the policy: the client may reach the contestants' port with this many app
// grants (1 or more), each of which allows the bench's requests.
func (t *Tailnet) Grant(grants int) error {
	const access = `{"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]},`
	const grant = `{"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "app": {"remote-ollama-proxy.internal/cap/ollama": [
		{"endpoints": ["api_version", "v1_chat_completions", "v1_responses"], "max_concurrent": %d}]}},`
	text := access
	for i := range grants {
		text += fmt.Sprintf(grant, 1_000_000+i) // all different, and none limits anything
	}
	return t.Control.SetPolicy([]byte(`{
		"tagOwners": {"tag:ai-server": ["autogroup:admin"], "tag:ai-client": ["autogroup:admin"]},
		"grants": [` + text + `],
	}`))
}

// SetPeers sets the number of peers in the netmap of the contestants, including the
// client. The number can't be reduced.
func (t *Tailnet) SetPeers(peers int) error {
	more := peers - 1 - t.offline
	t.offline += more
	t.Control.AddOfflineDevices(more, []string{"tag:ai-client"})
	return nil
}

// SetLink makes the client's packets take a link with latency and loss.
func (t *Tailnet) SetLink(link clients.Link) error { return t.client.SetLink(link) }

// RemoveLink makes the client's packets take the direct way again.
func (t *Tailnet) RemoveLink() error { return t.client.RemoveLink() }

// LinkBytes returns the size of all packets that the link has delivered, both ways.
func (t *Tailnet) LinkBytes() int64 { return t.client.LinkBytes() }

// Key returns an auth key for one contestant.
func (t *Tailnet) Key() (string, error) {
	return t.Control.NewKey(control.KeyRequest{Tags: []string{"tag:ai-server"}, ExpiresIn: time.Hour})
}

// Dial connects the client to a contestant.
func (t *Tailnet) Dial(ctx context.Context, host string) (net.Conn, error) {
	return t.client.Dial(ctx, fmt.Sprintf("%s:%d", host, Port))
}
