package node

import (
	"context"
	"encoding/json"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tailscale.com/tailcfg"
)

func TestUpSaysWhyNot(t *testing.T) {
	for _, c := range []struct {
		name    string
		want    Kind
		tailnet func(*tailnet)
		change  func(*Config)
	}{
		{name: "wrong key", want: KindKey,
			tailnet: func(tn *tailnet) { tn.RequireAuthKey = "right" },
			change:  func(c *Config) { c.AuthKey = "wrong" }},
		{name: "no key", want: KindLogin,
			tailnet: func(tn *tailnet) { tn.RequireAuth = true }},
		{name: "logging required", want: KindLogging,
			tailnet: func(tn *tailnet) {
				tn.DefaultNodeCapabilities = &tailcfg.NodeCapMap{tailcfg.CapabilityDataPlaneAuditLogs: nil}
			}},
		{name: "approval", want: KindApproval,
			tailnet: func(tn *tailnet) { tn.RequireMachineAuth = true }},
		{name: "control unreachable", want: KindControl,
			tailnet: func(tn *tailnet) { tn.HTTPTestServer.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tn := newTailnet(t)
			c.tailnet(tn)
			n := tn.node(t, "n", func(config *Config) {
				if c.change != nil {
					c.change(config)
				}
			})
			ctx := deadline(t)
			if c.want == KindControl {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Second)
				defer cancel()
			}
			_, err := n.Up(ctx)
			if KindOf(err) != c.want {
				t.Fatalf("kind %d, want %d: %v", KindOf(err), c.want, err)
			}
			if c.change != nil && strings.Contains(err.Error(), "wrong") {
				t.Errorf("the key is in the error: %v", err)
			}
			if c.want == KindLogin && !strings.HasPrefix(n.LoginURL(), tn.url) {
				t.Errorf("login URL %q", n.LoginURL())
			}
			t.Log(err)
		})
	}
}

func TestClassify(t *testing.T) {
	for text, want := range map[string]Kind{
		"invalid key: API key does not exist":                                         KindKey,
		"invalid key: unable to validate API key":                                     KindKey,
		"invalid key: API key kABC expired":                                           KindExpired,
		"tailnet requires logging to be enabled. Remove --no-logs-no-support from it": KindLogging,
		"requested tags [tag:x] are invalid or not permitted":                         KindOther,
	} {
		if got := KindOf(classifyBackend(text)); got != want {
			t.Errorf("%q: kind %d, want %d", text, got, want)
		}
	}
}

func TestUpCanBeCancelled(t *testing.T) {
	tn := newTailnet(t)
	tn.HTTPTestServer.Close()
	n := tn.node(t, "n")
	ctx, cancel := context.WithCancel(deadline(t))
	cancel()
	if _, err := n.Up(ctx); KindOf(err) != KindCanceled {
		t.Errorf("%v", err)
	}
}

// Closing the node ends a wait that nothing else would end.
func TestCloseEndsUp(t *testing.T) {
	tn := newTailnet(t)
	tn.RequireAuth = true
	n := tn.node(t, "n")
	got := make(chan error)
	go func() {
		_, err := n.UpPatiently(context.Background())
		got <- err
	}()
	eventually(t, "somebody must log in", func() bool { return n.LoginURL() != "" })
	must(t, n.Close())
	if err := <-got; KindOf(err) != KindClosed {
		t.Errorf("%v", err)
	}
}

func TestUpWaitsForTheLoginIfAsked(t *testing.T) {
	tn := newTailnet(t)
	tn.RequireAuth = true
	n := tn.node(t, "n")
	got := make(chan error)
	go func() {
		_, err := n.UpPatiently(deadline(t))
		got <- err
	}()
	eventually(t, "somebody must log in", func() bool { return n.LoginURL() != "" })
	if !tn.CompleteAuth(n.LoginURL()) {
		t.Fatalf("no login at %q", n.LoginURL())
	}
	must(t, <-got)
}

func beginUp(t *testing.T, n *Node, timeout time.Duration) (out Outcome) {
	fd, err := n.BeginUp(timeout)
	must(t, err)
	f := os.NewFile(uintptr(fd), "outcome")
	defer f.Close()
	must(t, json.NewDecoder(f).Decode(&out))
	return out
}

func TestBeginUpTellsTheOutcome(t *testing.T) {
	tn := newTailnet(t)
	if out := beginUp(t, tn.node(t, "n"), time.Minute); out.Kind != KindNone || out.Status.DNSName != "n.tailnet.test" {
		t.Errorf("%+v", out)
	}
	tn.RequireAuth = true
	if out := beginUp(t, tn.node(t, "m"), time.Minute); out.Kind != KindLogin || out.LoginURL == "" {
		t.Errorf("%+v", out)
	}
	tn.HTTPTestServer.Close()
	if out := beginUp(t, tn.node(t, "o"), time.Millisecond); out.Kind != KindControl || out.Status != nil {
		t.Errorf("%+v", out)
	}
}

func TestClosingTheDescriptorCancelsUp(t *testing.T) {
	tn := newTailnet(t)
	tn.HTTPTestServer.Close()
	n := tn.node(t, "n")
	goroutines := func() string {
		var b strings.Builder
		pprof.Lookup("goroutine").WriteTo(&b, 1)
		return b.String()
	}
	fd, err := n.BeginUp(time.Hour)
	must(t, err)
	eventually(t, "up waits", func() bool { return strings.Contains(goroutines(), "(*waiter).watch") })
	must(t, unix.Close(fd))
	eventually(t, "up has ended", func() bool { return !strings.Contains(goroutines(), "(*waiter).watch") })
}

// again makes a node from the state folder of one that has been closed.
func (tn *tailnet) again(t *testing.T, first *Node, change ...func(*Config)) *Node {
	t.Helper()
	must(t, first.Close())
	return tn.node(t, "again", append(change, func(c *Config) { c.Dir = first.config.Dir })...)
}

func TestStoredNodeIgnoresASpentKey(t *testing.T) {
	tn := newTailnet(t)
	tn.RequireAuthKey = "once"
	first := tn.upNode(t, "first", func(c *Config) { c.AuthKey = "once" })
	addrs := first.Addresses()
	tn.RequireAuthKey = ""
	second := tn.again(t, first, func(c *Config) { c.AuthKey = "once" })
	_, err := second.Up(deadline(t))
	must(t, err)
	if !slices.Equal(second.Addresses(), addrs) {
		t.Errorf("another node came up: %v, not %v", second.Addresses(), addrs)
	}
	if second.server.AuthKey != "" {
		t.Error("the spent key was offered")
	}
}

// A stored node that the tailnet no longer accepts is offered the key after all.
func TestKeyIsOfferedWhenTheStoredNodeIsRefused(t *testing.T) {
	tn := newTailnet(t)
	first := tn.upNode(t, "first")
	tn.RequireAuth = true
	second := tn.again(t, first, func(c *Config) { c.AuthKey = "fresh" })
	_, err := second.Up(deadline(t))
	if second.server.AuthKey != "fresh" {
		t.Error("the key was not offered")
	}
	// This control server wants a login from whoever has a key, too.
	if KindOf(err) != KindExpired || !strings.Contains(err.Error(), second.LoginURL()) {
		t.Errorf("kind %d: %v", KindOf(err), err)
	}
}

// A netmap that an earlier run has kept makes no node come up: the control server
// decides, even in a tailnet whose policy asks for the keeping.
func TestStoredNetmapIsNoAdmission(t *testing.T) {
	tn := newTailnet(t)
	tn.DefaultNodeCapabilities = &tailcfg.NodeCapMap{tailcfg.NodeAttrCacheNetworkMaps: nil}
	first := tn.upNode(t, "first")
	tn.RequireAuth = true
	if _, err := tn.again(t, first).Up(deadline(t)); KindOf(err) != KindExpired {
		t.Errorf("kind %d: %v", KindOf(err), err)
	}
}

// Starting with a stored node is what a restart costs.
func BenchmarkRestart(b *testing.B) {
	tn := newTailnet(b)
	dir := b.TempDir()
	for b.Loop() {
		n := tn.upNode(b, "n", func(c *Config) { c.Dir = dir })
		_, err := n.Listen("tcp", ":4711")
		must(b, err)
		b.StopTimer()
		must(b, n.Close())
		b.StartTimer()
	}
}
