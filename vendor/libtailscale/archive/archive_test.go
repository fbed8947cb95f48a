// Package archive tests the C archive that build.rs links.
package archive

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var archive string // path of libtailscale.a

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "archive")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		archive = filepath.Join(dir, "libtailscale.a")
		build := exec.Command("go", "build", "-buildmode=c-archive", "-trimpath", "-ldflags", "-s -w",
			"-tags", tags(), "-o", archive, "..")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
			return 1
		}
		return m.Run()
	}())
}

// tags returns the build tags that build.rs uses.
func tags() string {
	b, err := os.ReadFile("../build-tags.txt")
	if err != nil {
		panic(err)
	}
	return strings.Join(strings.Fields(string(b)), ",")
}

func TestArchiveIsSmall(t *testing.T) {
	info, err := os.Stat(archive)
	must(t, err)
	t.Logf("%.1f MB", float64(info.Size())/1e6)
	if info.Size() > 30e6 {
		t.Errorf("%d bytes, want at most 30 MB", info.Size())
	}
}

func TestArchiveLacksLogUploadAndPeerListener(t *testing.T) {
	for _, c := range []struct{ pkg, in, out string }{
		{"tailscale.com/feature/buildfeatures", "feature_logtail_disabled.go", "feature_logtail_enabled.go"},
		{"tailscale.com/feature/buildfeatures", "feature_peerapiserver_disabled.go", "feature_peerapiserver_enabled.go"},
		{"tailscale.com/logtail", "logtail_omit.go", "logtail.go"},
	} {
		out, err := exec.Command("go", "list", "-tags", tags(), "-f", `{{range .GoFiles}}{{.}} {{end}}`, c.pkg).Output()
		must(t, err)
		files := " " + string(out)
		if !strings.Contains(files, " "+c.in+" ") || strings.Contains(files, " "+c.out+" ") {
			t.Errorf("%s is built from %s", c.pkg, files)
		}
	}
	b, err := os.ReadFile(archive)
	must(t, err)
	if !bytes.Contains(b, []byte("controlplane.tailscale.com")) {
		t.Fatal("the archive has no readable strings")
	}
	for _, text := range []string{"peerapi: cannot listen on", "log upload of"} {
		if bytes.Contains(b, []byte(text)) {
			t.Errorf("the archive contains %q", text)
		}
	}
}

// TestCompilersAcceptTheHeader compiles tailscale.h on its own.
func TestCompilersAcceptTheHeader(t *testing.T) {
	cmd := exec.Command("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "../tailscale.h")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", cmd, err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
