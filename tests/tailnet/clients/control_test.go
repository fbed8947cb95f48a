package clients

import (
	"context"
	"testing"
	"time"

	"remote-ollama-proxy/tests/tailnet/control"
	"tailscale.com/ipn"
	"tailscale.com/ipn/store/mem"
	"tailscale.com/tsnet"
	"tailscale.com/types/logger"
)

func TestPolicyIsEnforced(t *testing.T) {
	p := newPair(t)
	stranger := p.start(t, "stranger", "tag:ci")
	reach(t, p.client, "server:80", true)
	reach(t, p.client, p.server.Addresses[1].String()+":80", false) // not of the form host:port
	reach(t, p.client, "["+p.server.Addresses[1].String()+"]:80", true)
	reach(t, stranger, "server:80", false)
	must(t, p.control.SetPolicy([]byte(closed)))
	reach(t, p.client, "server:80", false)
	must(t, p.control.SetPolicy([]byte(open)))
	reach(t, p.client, "server.tailnet.test:80", true)
}

func TestConnectionsContinueWithoutControlOrRelay(t *testing.T) {
	p := newPair(t)
	reach(t, p.client, "server:80", true)
	p.control.Stop(true)
	eventually(t, "the client is offline", func() bool { return !online(p.control, "client") })
	reach(t, p.client, "server:80", true) // connections need no control server
	if _, err := p.Start(shortly(t), "late", []string{"tag:client"}, ""); err == nil {
		t.Error("a node joined without a control server")
	}
	p.control.Start()
	eventually(t, "both are online again", func() bool { return online(p.control, "client") && online(p.control, "server") })

	if !p.relay.Stop() || p.relay.Stop() {
		t.Error("the relay was stopped twice")
	}
	reach(t, p.client, "server:80", true) // over the direct path
	if !p.relay.Start() || p.relay.Start() {
		t.Error("the relay was started twice")
	}
	reach(t, p.start(t, "late", "tag:client"), "server:80", true)
}

func TestExpiredAndRemovedNodesAreLoggedOut(t *testing.T) {
	p := newPair(t)
	second := p.start(t, "second", "tag:client")
	for _, c := range []struct {
		client *Client
		cut    func() error
	}{
		{p.client, func() error { return p.control.SetKeyExpiry("client", time.Now().Add(-time.Second)) }},
		{second, func() error { return p.control.Remove("second") }},
	} {
		reach(t, c.client, "server:80", true)
		must(t, c.cut())
		awaitState(t, c.client.server, ipn.NeedsLogin)
		eventually(t, "the server no longer knows "+c.client.Name, func() bool {
			lc, err := p.server.server.LocalClient()
			must(t, err)
			who, err := lc.WhoIs(t.Context(), c.client.Addresses[0].String())
			return err != nil || who.Node.Expired
		})
	}
}

func TestKeyExpiresOnTime(t *testing.T) {
	p := newPair(t)
	must(t, p.control.SetKeyExpiry("client", time.Now().Add(500*time.Millisecond)))
	awaitState(t, p.client.server, ipn.NeedsLogin)
	must(t, p.control.SetKeyExpiry("client", time.Time{}))
	awaitState(t, p.client.server, ipn.Running)
}

// outsider starts a node outside the manager.
func outsider(t *testing.T, c *control.Server, key string) *tsnet.Server {
	t.Helper()
	store, err := mem.New(logger.Discard, "")
	must(t, err)
	s := &tsnet.Server{Dir: t.TempDir(), Store: persistent{store}, Hostname: "outsider", ControlURL: c.URL(), AuthKey: key, UserLogf: logger.Discard}
	must(t, s.Start())
	t.Cleanup(func() { s.Close() })
	return s
}

func TestNodeWaitsForLoginAndApproval(t *testing.T) {
	tn := newTailnet(t)
	must(t, tn.control.SetSettings(control.Settings{RequireApproval: true}))
	s := outsider(t, tn.control, "")
	lc, err := s.LocalClient()
	must(t, err)
	var url string
	eventually(t, "there is a login URL", func() bool {
		st, err := lc.StatusWithoutPeers(t.Context())
		must(t, err)
		url = st.AuthURL
		return url != ""
	})
	must(t, tn.control.CompleteLogin(url, "anna@example.com"))
	awaitState(t, s, ipn.NeedsMachineAuth)
	must(t, tn.control.Approve("outsider"))
	awaitState(t, s, ipn.Running)
}

func TestRequiredLoggingStopsNodes(t *testing.T) {
	tn := newTailnet(t)
	key, err := tn.control.NewKey(control.KeyRequest{User: "anna@example.com", ExpiresIn: time.Hour})
	must(t, err)
	s := outsider(t, tn.control, key)
	awaitState(t, s, ipn.Running)
	must(t, tn.control.SetSettings(control.Settings{RequireLogging: true}))
	lc, err := s.LocalClient()
	must(t, err)
	eventually(t, "the node is off", func() bool {
		prefs, err := lc.GetPrefs(t.Context())
		must(t, err)
		return !prefs.WantRunning
	})
	tn.start(t, "ours", "tag:client")
}

func TestClientNamesAreUnique(t *testing.T) {
	tn := newTailnet(t)
	tn.start(t, "laptop", "tag:client")
	_, err := tn.Start(t.Context(), "laptop", []string{"tag:client"}, "")
	contains(t, err, `"laptop" is the name of a running client`)
	must(t, tn.Stop("laptop"))
	eventually(t, "it is offline", func() bool { return !online(tn.control, "laptop") })
	if c := tn.start(t, "laptop", "tag:client"); c.Name != "laptop-1" {
		t.Errorf("the name of an offline device was reused: %+v", c)
	}
	contains(t, tn.Stop("laptop"), `client "laptop"`)
	_, err = tn.Start(t.Context(), "x", []string{"tag:none"}, "")
	contains(t, err, `"tag:none" is not defined`)
}

func online(c *control.Server, name string) bool {
	for _, n := range c.Nodes() {
		if n.Name == name {
			return n.Online
		}
	}
	return false
}

func awaitState(t *testing.T, s *tsnet.Server, want ipn.State) {
	t.Helper()
	lc, err := s.LocalClient()
	must(t, err)
	eventually(t, "the node is "+want.String(), func() bool {
		st, err := lc.StatusWithoutPeers(t.Context())
		must(t, err)
		return st.BackendState == want.String()
	})
}

func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
