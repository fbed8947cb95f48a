// Package archive tests the C interface as its users see it: an archive, a header
// and programs in C, compiled and run against a tailnet on loopback.
package archive

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
	"tailscale.com/tstest/integration"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

var archive string // libtailscale.a

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "capi")
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

// tags are the build tags that build.rs uses.
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
		t.Errorf("%d bytes, at most 30 MB are allowed", info.Size())
	}
}

// What uploads logs and what listens for peers on the local network are not in it.
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
			t.Errorf("%s is made of %s", c.pkg, files)
		}
	}
	b, err := os.ReadFile(archive)
	must(t, err)
	if !bytes.Contains(b, []byte("controlplane.tailscale.com")) {
		t.Fatal("the archive's strings can't be read")
	}
	for _, text := range []string{"peerapi: cannot listen on", "log upload of"} {
		if bytes.Contains(b, []byte(text)) {
			t.Errorf("the archive contains %q", text)
		}
	}
}

func TestProgramForUpstream(t *testing.T) {
	tn := newTailnet(t)
	p := tn.run(t, "echo.c")
	ip, _, _ := strings.Cut(p.line(), ",")
	noListeners(t, p.cmd.Process.Pid)
	for _, text := range []string{"hello", strings.Repeat("much ", 100_000), "quit"} {
		c := tn.dial(t, ip+":1999")
		done := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c, text)
			c.(interface{ CloseWrite() error }).CloseWrite()
			done <- err
		}()
		echo, err := io.ReadAll(c)
		must(t, err)
		must(t, <-done)
		if string(echo) != text {
			t.Errorf("%d bytes came back, not %d", len(echo), len(text))
		}
		if remote, ip4 := p.line(), tn.ip(); remote != ip4 {
			t.Errorf("remote address %q, want %q", remote, ip4)
		}
		c.Close()
	}
	p.end()
}

func TestProgramForOurs(t *testing.T) {
	tn := newTailnet(t)
	p := tn.run(t, "server.c")
	outcome := p.line()
	if !strings.Contains(outcome, `"kind":0`) {
		t.Fatal(outcome)
	}
	if status := p.line(); !strings.Contains(status, `"dns_name":"server.tailnet.test"`) {
		t.Error(status)
	}
	if ready := p.line(); ready != "ready" {
		t.Fatal(ready)
	}
	noListeners(t, p.cmd.Process.Pid)
	_, ip, _ := strings.Cut(outcome, `"addresses":["`)
	ip, _, _ = strings.Cut(ip, `"`)
	c := tn.dial(t, ip+":4711")
	defer c.Close()
	who := strings.SplitN(p.line(), " ", 3)
	if len(who) != 3 || !strings.HasPrefix(who[0], tn.ip()+":") || who[1] != ip+":4711" || !strings.Contains(who[2], `"node":"client.tailnet.test"`) {
		t.Errorf("accepted %q", who)
	}
	if caps := p.line(); !strings.HasPrefix(caps, "{") {
		t.Errorf("capabilities %q", caps)
	}
	if _, err := io.ReadAll(c); err == nil {
		t.Error("the aborted connection ended as if it were whole")
	}
	p.end()
}

type tailnet struct {
	url    string
	client *tsnet.Server
}

func newTailnet(t *testing.T) *tailnet {
	control := &testcontrol.Server{
		DERPMap:        integration.RunDERPAndSTUN(t, logger.Discard, "127.0.0.1"),
		MagicDNSDomain: "tailnet.test",
		DNSConfig:      &tailcfg.DNSConfig{Proxied: true, Domains: []string{"tailnet.test"}},
		Logf:           logger.Discard,
		AllOnline:      true,
	}
	control.HTTPTestServer = httptest.NewUnstartedServer(control)
	control.HTTPTestServer.Start()
	t.Cleanup(control.HTTPTestServer.Close)
	tn := &tailnet{url: control.HTTPTestServer.URL}
	tn.client = &tsnet.Server{
		Dir: t.TempDir(), Hostname: "client", ControlURL: tn.url, Logf: logger.Discard, UserLogf: logger.Discard,
	}
	t.Cleanup(func() { tn.client.Close() })
	_, err := tn.client.Up(deadline(t))
	must(t, err)
	return tn
}

func (tn *tailnet) ip() string {
	ip4, _ := tn.client.TailscaleIPs()
	return ip4.String()
}

func (tn *tailnet) dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := tn.client.Dial(deadline(t), "tcp", addr)
	must(t, err)
	return c
}

type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// run compiles a program of testdata, links it with the archive and runs it.
func (tn *tailnet) run(t *testing.T, source string) *program {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "program")
	args := []string{"-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I", "..", "-o", exe, filepath.Join("testdata", source), archive, "-lpthread"}
	if runtime.GOOS == "darwin" {
		for _, framework := range []string{"CoreFoundation", "IOKit", "Security", "SystemConfiguration"} {
			args = append(args, "-framework", framework)
		}
		args = append(args, "-lresolv")
	}
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(deadline(t), exe, tn.url, t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &program{t, cmd, bufio.NewScanner(out)}
}

func (p *program) line() string {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatalf("the program ended too early: %v", p.cmd.Wait())
	}
	return p.lines.Text()
}

func (p *program) end() {
	p.t.Helper()
	if last := p.line(); last != "bye" {
		p.t.Errorf("the program says %q", last)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Error(err)
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
