package node

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

func TestStateFolder(t *testing.T) {
	tn := newTailnet(t)
	first := tn.upNode(t, "first")
	second := tn.node(t, "second", func(c *Config) { c.Dir = first.config.Dir })
	err := second.Start()
	if KindOf(err) != KindState || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a folder in use: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	third := tn.node(t, "third", func(c *Config) { c.Dir = filepath.Join(file, "state") })
	if err := third.Start(); KindOf(err) != KindState {
		t.Errorf("a folder under a file: %v", err)
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

func TestEventsTellTheSituation(t *testing.T) {
	tn := newTailnet(t)
	n := tn.upNode(t, "teller")
	fd, err := n.Events()
	must(t, err)
	f := os.NewFile(uintptr(fd), "events")
	defer f.Close()
	seen := map[string]Event{}
	lines := bufio.NewScanner(f)
	for len(seen) < 4 && lines.Scan() {
		var e Event
		must(t, json.Unmarshal(lines.Bytes(), &e))
		seen[e.Type] = e
	}
	if seen["state"].State != "Running" || seen["name"].Status.DNSName != "teller.tailnet.test" || seen["health"].Warnings == nil {
		t.Errorf("%+v", seen)
	}
}
