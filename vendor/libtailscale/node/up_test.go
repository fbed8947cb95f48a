package node

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tailscale.com/tailcfg"
)

func TestUpFailsWithTheReason(t *testing.T) {
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
			if c.want == KindLogin && !strings.HasPrefix(*n.loginURL.Load(), tn.url) {
				t.Errorf("login URL %q", *n.loginURL.Load())
			}
			t.Log(err)
		})
	}
}

func TestBackendMessagesAreClassified(t *testing.T) {
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

// The API of the control server is silent, so nothing else ends the wait.
func TestCloseEndsUp(t *testing.T) {
	asked, hold := make(chan struct{}), make(chan struct{})
	control := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-hold
	}))
	t.Cleanup(control.Close)
	t.Cleanup(func() { close(hold) })
	n := (&tailnet{url: control.URL}).node(t, "n")
	got := make(chan error)
	go func() {
		_, err := n.Up(context.Background())
		got <- err
	}()
	<-asked
	must(t, n.Close())
	if err := <-got; KindOf(err) != KindClosed {
		t.Errorf("%v", err)
	}
}

func beginUp(t *testing.T, n *Node, timeout time.Duration) (out UpResult) {
	fd, err := n.BeginUp(timeout)
	must(t, err)
	f := os.NewFile(uintptr(fd), "result")
	defer f.Close()
	must(t, json.NewDecoder(f).Decode(&out))
	return out
}

func TestBeginUpReportsTheResult(t *testing.T) {
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
	eventually(t, "up waits", func() bool { return strings.Contains(goroutines(), "(*upWatcher).watch") })
	must(t, unix.Close(fd))
	eventually(t, "up has ended", func() bool { return !strings.Contains(goroutines(), "(*upWatcher).watch") })
}

// restart closes a node and makes another one with its state folder.
func (tn *tailnet) restart(t *testing.T, first *Node, change ...func(*Config)) *Node {
	t.Helper()
	must(t, first.Close())
	return tn.node(t, "second", append(change, func(c *Config) { c.Dir = first.config.Dir })...)
}

func TestStoredNodeIgnoresAUsedUpKey(t *testing.T) {
	tn := newTailnet(t)
	tn.RequireAuthKey = "once"
	first := tn.upNode(t, "first", func(c *Config) { c.AuthKey = "once" })
	addrs := first.Addresses()
	tn.RequireAuthKey = ""
	second := tn.restart(t, first, func(c *Config) { c.AuthKey = "once" })
	_, err := second.Up(deadline(t))
	must(t, err)
	if !slices.Equal(second.Addresses(), addrs) {
		t.Errorf("another node came up: %v, not %v", second.Addresses(), addrs)
	}
	if second.server.AuthKey != "" {
		t.Error("the used-up key was offered")
	}
}

func TestKeyIsOfferedIfTheStoredNodeIsRefused(t *testing.T) {
	tn := newTailnet(t)
	first := tn.upNode(t, "first")
	tn.RequireAuth = true
	second := tn.restart(t, first, func(c *Config) { c.AuthKey = "fresh" })
	_, err := second.Up(deadline(t))
	if second.server.AuthKey != "fresh" {
		t.Error("the key was not offered")
	}
	// This control server requires a login even with a key.
	if KindOf(err) != KindExpired || !strings.Contains(err.Error(), *second.loginURL.Load()) {
		t.Errorf("kind %d: %v", KindOf(err), err)
	}
}

// The control server decides, even if the policy of the tailnet enables cached netmaps.
func TestStoredNetmapIsNoAdmission(t *testing.T) {
	tn := newTailnet(t)
	tn.DefaultNodeCapabilities = &tailcfg.NodeCapMap{tailcfg.NodeAttrCacheNetworkMaps: nil}
	first := tn.upNode(t, "first")
	tn.RequireAuth = true
	if _, err := tn.restart(t, first).Up(deadline(t)); KindOf(err) != KindExpired {
		t.Errorf("kind %d: %v", KindOf(err), err)
	}
}

// BenchmarkRestart measures a start with a stored node.
func BenchmarkRestart(b *testing.B) {
	tn := newTailnet(b)
	dir := b.TempDir()
	for b.Loop() {
		n := tn.upNode(b, "n", func(c *Config) { c.Dir = dir })
		_, err := n.Listen(testPort)
		must(b, err)
		b.StopTimer()
		must(b, n.Close())
		b.StartTimer()
	}
}
