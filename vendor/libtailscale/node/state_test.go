package node

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestUnusableStateFolder(t *testing.T) {
	tn := newTailnet(t)
	running := tn.upNode(t, "running")
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("{}"), 0o600))
	for _, c := range []struct {
		name, dir, says string
	}{
		{"in use", running.config.Dir, "in use"},
		{"a file", file, "not a directory"},
		{"under a file", filepath.Join(file, "state"), "not a directory"},
		{"broken state", stateWith(t, "tailscaled.state", "{"), "JSON"},
		{"broken profiles", stateWith(t, "tailscaled.state", `{"_profiles":"AAAA"}`), "profiles"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := tn.node(t, "n", func(config *Config) { config.Dir = c.dir }).Start()
			if KindOf(err) != KindState || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.dir) {
				t.Errorf("kind %d: %v", KindOf(err), err)
			}
			t.Log(err)
		})
	}
}

func TestStateFolderWithoutPermission(t *testing.T) {
	parent := t.TempDir()
	must(t, os.Chmod(parent, 0o500))
	n := newTailnet(t).node(t, "n", func(c *Config) { c.Dir = filepath.Join(parent, "state") })
	asOrdinaryUser(t, func() {
		_, err := openState(n.config.Dir, n.logf)
		if KindOf(err) != KindState || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("kind %d: %v", KindOf(err), err)
		}
		t.Log(err)
	})
}

// After Close, nothing uses the state folder.
func TestCloseWaitsForAConcurrentStart(t *testing.T) {
	tn := newTailnet(t)
	starting := make(chan struct{})
	var once sync.Once
	var n *Node
	n = tn.node(t, "n", func(c *Config) {
		c.Logf = func(string, ...any) {
			once.Do(func() { close(starting) })
			<-n.ctx.Done() // blocks the start until Close has begun
		}
	})
	started := make(chan error, 1)
	go func() { started <- n.Start() }()
	<-starting
	must(t, n.Close())
	tn.upNode(t, "second", func(c *Config) { c.Dir = n.config.Dir })
	if err := <-started; KindOf(err) != KindClosed {
		t.Errorf("start: %v", err)
	}
}

func TestStateFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	must(t, os.Mkdir(dir, 0o755))
	newTailnet(t).upNode(t, "n", func(c *Config) { c.Dir = dir })
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}

func TestFolderWithOtherFilesIsRefusedAndUnchanged(t *testing.T) {
	dir := stateWith(t, "something else", "")
	must(t, os.Chmod(dir, 0o755))
	err := newTailnet(t).node(t, "n", func(c *Config) { c.Dir = dir }).Start()
	if KindOf(err) != KindState {
		t.Errorf("the node started: %v", err)
	}
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o755 {
		t.Errorf("its mode is now %v", info.Mode())
	}
}

func stateWith(t *testing.T, name, content string) string {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	return dir
}
