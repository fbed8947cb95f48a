package node

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func logout(t *testing.T, n *Node, timeout time.Duration) *LogoutResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	result, err := n.Logout(ctx)
	must(t, err)
	return result
}

func contents(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// tests/e2e/login.rs checks that the control server removes the node.
func TestLogoutRemovesTheStoredNodeAndNoOtherFile(t *testing.T) {
	tn := newTailnet(t)
	first := tn.upNode(t, "first")
	dir := first.config.Dir
	must(t, os.WriteFile(filepath.Join(dir, "config.toml"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, "files", "mine"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "files", "mine", "note"), nil, 0o600))
	n := tn.restart(t, first)
	if f := logout(t, n, time.Minute); !f.Stored || f.Error != "" {
		t.Errorf("%+v", f)
	}
	if left := contents(t, dir); !slices.Equal(left, []string{"config.toml", "files", "lock"}) {
		t.Errorf("left: %v", left)
	}
	if f := logout(t, tn.node(t, "n", func(c *Config) { c.Dir = dir }), time.Minute); f.Stored {
		t.Errorf("%+v", f)
	}
}

func TestLogoutWorksWithoutTheControlServer(t *testing.T) {
	tn := newTailnet(t)
	first := tn.upNode(t, "first")
	dir := first.config.Dir
	n := tn.restart(t, first)
	tn.HTTPTestServer.CloseClientConnections()
	tn.HTTPTestServer.Close()
	f := logout(t, n, 100*time.Millisecond)
	if !f.Stored || f.Error == "" {
		t.Errorf("%+v", f)
	}
	t.Log(f.Error)
	if left := contents(t, dir); !slices.Equal(left, []string{"lock"}) {
		t.Errorf("left: %v", left)
	}
}

func TestLogoutRefusesAFolderInUse(t *testing.T) {
	tn := newTailnet(t)
	running := tn.upNode(t, "running")
	other := tn.node(t, "n", func(c *Config) { c.Dir = running.config.Dir })
	if _, err := other.Logout(t.Context()); KindOf(err) != KindState {
		t.Errorf("%v", err)
	}
	if _, err := running.Logout(t.Context()); err == nil {
		t.Error("a running node was logged out")
	}
}
