// Package contestants knows who is measured, and starts and stops them: each a
// process of its own, or two, that is a node of the tailnet.
package contestants

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"remote-ollama-proxy/benches/usage"
)

// A Contestant is one way from the tailnet to the upstream.
type Contestant struct {
	Name    string
	About   string // in a few words
	Program string // the file of Site.Bin that is it; "" has none

	commands func(Site) ([]command, error)
}

// A Site is where a contestant is to run.
type Site struct {
	Bin      string // folder of the programs
	Dir      string // folder for its files
	Name     string // its name in the tailnet
	Control  string // URL of the control server
	Key      string // to join with
	Upstream string // host:port
	Port     int    // to listen on in the tailnet
}

// A command is one process of a contestant.
type command struct {
	*exec.Cmd
	ready string // is in its output once it listens; "" is not waited for
}

// Running is a contestant at work.
type Running struct {
	Contestant
	Started time.Duration // from its start until it listened

	processes []*exec.Cmd
	stdin     []*os.File
	outputs   []string // files
}

// startTimeout is far beyond the second that the slowest takes.
const startTimeout = 60 * time.Second

// Start starts a contestant and waits until it listens.
func (c Contestant) Start(ctx context.Context, site Site) (*Running, error) {
	r := &Running{Contestant: c}
	if c.commands == nil {
		return r, nil
	}
	if err := os.MkdirAll(site.Dir, 0o700); err != nil {
		return nil, err
	}
	commands, err := c.commands(site)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	for i, command := range commands {
		if err := r.launch(ctx, command, filepath.Join(site.Dir, fmt.Sprintf("output-%d", i))); err != nil {
			r.Stop()
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	r.Started = time.Since(begun)
	return r, nil
}

func (r *Running) launch(ctx context.Context, command command, outputPath string) error {
	output, err := os.Create(outputPath)
	if err != nil {
		return err
	}
	defer output.Close()
	r.outputs = append(r.outputs, outputPath)
	// What is made for the bench ends with its standard input.
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	command.Stdin, command.Stdout, command.Stderr = theirs, output, output
	r.stdin = append(r.stdin, ours)
	if err := command.Start(); err != nil {
		return err
	}
	r.processes = append(r.processes, command.Cmd)
	for _, f := range command.ExtraFiles {
		f.Close()
	}
	for end := time.Now().Add(startTimeout); ; time.Sleep(time.Millisecond) {
		said, err := os.ReadFile(outputPath)
		if err != nil || strings.Contains(string(said), command.ready) {
			return err
		}
		var status syscall.WaitStatus
		ended, _ := syscall.Wait4(command.Process.Pid, &status, syscall.WNOHANG, nil)
		if ended == command.Process.Pid || time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("%s does not listen; it said:\n%s", command.Path, said)
		}
	}
}

// Said returns the last that it has said.
func (r *Running) Said() (last string) {
	const most = 1000 // bytes
	for _, path := range r.outputs {
		text, _ := os.ReadFile(path)
		last += string(text[max(0, len(text)-most):])
	}
	return last
}

// Usage is what its processes take.
func (r *Running) Usage() (usage.Usage, error) {
	var pids []int
	for _, p := range r.processes {
		pids = append(pids, p.Process.Pid)
	}
	return usage.Of(pids...)
}

// IsTailnet reports whether it is a node, rather than the upstream itself.
func (c Contestant) IsTailnet() bool { return c.commands != nil }

// Stop ends its processes; by force if they do not end soon.
func (r *Running) Stop() {
	for _, f := range r.stdin {
		f.Close()
	}
	for _, p := range r.processes {
		p.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(5*time.Second, func() { p.Process.Kill() })
		p.Wait()
		kill.Stop()
	}
}

// All lists the contestants, the reference points first.
func All() []Contestant {
	return []Contestant{
		{Name: "direct", About: "the upstream on loopback, without a tailnet"},
		{Name: "raw", About: "TCP forward on tsnet, the floor", Program: "rawforward", commands: ours("rawforward")},
		{Name: "ours", About: "remote-ollama-proxy", Program: "remote-ollama-proxy", commands: product("remote-ollama-proxy")},
		{Name: "before", About: "another build of it (against=PROGRAM)", Program: "before", commands: product("before")},
		{Name: "reverse", About: "Go: tsnet, httputil.ReverseProxy, WhoIs per request", Program: "reverseproxy", commands: ours("reverseproxy")},
	}
}

// ours is a program that is made for the bench.
func ours(program string) func(Site) ([]command, error) {
	return func(s Site) ([]command, error) {
		c := exec.Command(filepath.Join(s.Bin, program))
		c.Env = append(os.Environ(),
			"BENCH_NAME="+s.Name, "BENCH_CONTROL="+s.Control, "BENCH_UPSTREAM="+s.Upstream, "BENCH_DIR="+s.Dir,
			fmt.Sprintf("BENCH_PORT=%d", s.Port), "TS_AUTHKEY="+s.Key, "TS_NO_LOGS_NO_SUPPORT=true", "TS_DISABLE_PORTMAPPER=true",
		)
		return []command{{c, "listening in the tailnet"}}, nil
	}
}

// product is a build of the proxy, set up as it comes but for the limits on how
// much one peer may do at once.
func product(program string) func(Site) ([]command, error) {
	return func(s Site) ([]command, error) {
		config := filepath.Join(s.Dir, "config.toml")
		text := fmt.Sprintf(`node.hostname = %q
node.state_dir = %q
node.control_url = %q
listen.port = %d
upstream.url = "http://%s"
limits.running = 100000
limits.running_per_identity = 100000
limits.connections = 20000
limits.connections_per_peer = 20000
http.hosts = ["bench.test"]
limits.max_body = 4000000000
`, s.Name, filepath.Join(s.Dir, "state"), s.Control, s.Port, s.Upstream)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		c := exec.Command(filepath.Join(s.Bin, program), "run", "--as-root", "--config", config)
		c.Env = append(os.Environ(), "TS_AUTHKEY="+s.Key)
		return []command{{c, "listening in the tailnet"}}, nil
	}
}

// Choose returns those that are named; all whose program is there if none is.
func Choose(bin string, names []string) (out []Contestant, err error) {
	for _, c := range All() {
		there := true
		if c.Program != "" {
			_, err := os.Stat(filepath.Join(bin, c.Program))
			there = err == nil
		}
		named := len(names) == 0
		for _, name := range names {
			named = named || name == c.Name
		}
		if named && there {
			out = append(out, c)
		} else if named && len(names) > 0 {
			return nil, fmt.Errorf("%s: %s is not there", c.Name, filepath.Join(bin, c.Program))
		}
	}
	for _, name := range names {
		if !known(name) {
			return nil, fmt.Errorf("only=%s: no contestant has that name", name)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no contestant")
	}
	return out, nil
}

func known(name string) bool {
	for _, c := range All() {
		if c.Name == name {
			return true
		}
	}
	return false
}

// Loopback dials the upstream itself.
func Loopback(ctx context.Context, upstream string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", upstream)
}
