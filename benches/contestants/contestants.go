// Package contestants defines, starts and stops the measured programs. Each is one or two
// processes and a node of the tailnet.
package contestants

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"remote-ollama-proxy/benches/usage"
)

// A Contestant is one way from the tailnet to the upstream.
type Contestant struct {
	Name    string
	About   string // a short description
	Program string // its file in Site.Bin; "": none

	commands func(Site) ([]command, error)
}

// A Site is the environment of a contestant.
type Site struct {
	Bin      string // folder of the programs
	Dir      string // folder for its files
	Name     string // node name
	Control  string // URL of the control server
	Key      string // auth key
	Upstream string // host:port
	Port     int    // to listen on in the tailnet
}

// A command is one process of a contestant.
type command struct {
	*exec.Cmd
	ready string // in its output once it listens; "": don't wait
}

// Running is a running contestant.
type Running struct {
	Contestant
	Started time.Duration // from the start until it listened

	processes []*exec.Cmd
	stdin     []*os.File
	outputs   []string // files
}

// startTimeout bounds a start; the slowest takes a second.
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
	// The bench's own programs end with their standard input.
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
		output, err := os.ReadFile(outputPath)
		if err != nil || strings.Contains(string(output), command.ready) {
			return err
		}
		var status syscall.WaitStatus
		ended, _ := syscall.Wait4(command.Process.Pid, &status, syscall.WNOHANG, nil)
		if ended == command.Process.Pid || time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("%s does not listen; its output:\n%s", command.Path, output)
		}
	}
}

// Output returns the end of its output.
func (r *Running) Output() (last string) {
	const most = 1000 // bytes
	for _, path := range r.outputs {
		text, _ := os.ReadFile(path)
		last += string(text[max(0, len(text)-most):])
	}
	return last
}

// Processes returns the ids of its processes.
func (r *Running) Processes() (ids []string) {
	for _, p := range r.processes {
		ids = append(ids, strconv.Itoa(p.Process.Pid))
	}
	return ids
}

// Usage returns the resource usage of its processes.
func (r *Running) Usage() (usage.Usage, error) {
	var pids []int
	for _, p := range r.processes {
		pids = append(pids, p.Process.Pid)
	}
	return usage.Of(pids...)
}

// Settled returns the usage after 2 s of rest.
func (r *Running) Settled() (usage.Usage, error) {
	time.Sleep(2 * time.Second)
	return r.Usage()
}

// IsTailnet reports whether it is a node, not the upstream itself.
func (c Contestant) IsTailnet() bool { return c.commands != nil }

// Stop ends its processes, and kills them if they do not end soon.
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

// Choose returns the named contestants, or all. missing lists those without a program. A
// named one must have its program.
func Choose(bin string, names []string) (out []Contestant, missing []string, err error) {
	for _, c := range All() {
		if len(names) > 0 && !slices.Contains(names, c.Name) {
			continue
		}
		switch _, err := os.Stat(filepath.Join(bin, c.Program)); {
		case c.Program == "" || err == nil:
			out = append(out, c)
		case len(names) > 0:
			return nil, nil, fmt.Errorf("measure %s: its program is missing: %w", c.Name, err)
		case c.Name != "before":
			missing = append(missing, c.Name)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(All(), func(c Contestant) bool { return c.Name == name }) {
			return nil, nil, fmt.Errorf("only=%s: no contestant has that name", name)
		}
	}
	return out, missing, nil
}

// Loopback dials the upstream itself.
func Loopback(ctx context.Context, upstream string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", upstream)
}
