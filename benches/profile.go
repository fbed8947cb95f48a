package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"remote-ollama-proxy/benches/contestants"
	"remote-ollama-proxy/benches/load"
	"remote-ollama-proxy/benches/report"
)

// profile attributes the proxy's CPU time to its parts, with perf samples of a build with
// symbols.
func (b *bench) profile() error {
	const window = 4 * time.Second
	profiled := contestants.Profiled()
	if _, err := os.Stat(filepath.Join(b.options.bin, profiled.Program)); err != nil {
		return nil // scripts/bench.sh has printed the reason
	}
	for _, work := range []struct {
		what string
		run  func(load.Dial, func()) (load.Times, error)
	}{
		{"request, 32 connections", func(dial load.Dial, mark func()) (load.Times, error) {
			return load.Requests(dial, 32, window, mark)
		}},
		{"chunk, 100 streams", func(dial load.Dial, mark func()) (load.Times, error) {
			return load.Streams(dial, 100, spacing, window, mark)
		}},
	} {
		running, dial, err := b.start(profiled)
		if err != nil {
			return err
		}
		defer running.Stop()
		e := &entrant{Running: running}
		var samples *exec.Cmd
		data := filepath.Join(b.dir, "perf.data")
		times, err := work.run(dial, func() {
			e.mark()
			if samples == nil {
				samples = exec.CommandContext(b.ctx, "perf", "record", "--quiet", "--freq", "997", "--output", data,
					"--pid", strings.Join(running.Processes(), ","))
				samples.Stderr = os.Stderr
				if samples.Start() != nil {
					samples.Process = nil
				}
				return
			}
			samples.Process.Signal(os.Interrupt)
		})
		if err != nil {
			return err
		}
		samples.Wait() // ended by the signal
		shares, err := attribute(data, running.Processes()[0])
		if err != nil {
			return err
		}
		b.profiles = append(b.profiles, report.Profile{What: work.what, Shares: shares, CPU: microseconds(e.cpu(len(times)))})
		running.Stop()
	}
	return nil
}

func attribute(data, process string) (map[string]float64, error) {
	var stderr bytes.Buffer
	c := exec.Command("perf", "report", "--stdio", "--input", data, "--no-children", "--fields", "sample,pid,dso,sym", "--field-separator", ";")
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("perf report: %w: %s", err, stderr.String())
	}
	return report.Attribute(bytes.NewReader(out), process)
}
