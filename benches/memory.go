package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"remote-ollama-proxy/benches/contestants"
	"remote-ollama-proxy/benches/load"
	"remote-ollama-proxy/benches/usage"
)

const (
	idleConnections = 1000
	openStreams     = 500
	settle          = 2 * time.Second  // until starts and ends have settled
	afterTransfer   = 10 * time.Second // until its memory must have been returned
)

// memory measures fresh processes, one at a time.
func (b *bench) memory() error {
	for round := range b.options.rounds {
		for _, c := range b.chosen {
			if !c.IsTailnet() {
				continue
			}
			if round == 0 {
				b.size(c)
				// It takes long, and rounds differ little.
				b.measureFresh(c, "memory of streams", b.memoryOfStreams)
				b.measureFresh(c, "memory of a transfer", b.memoryOfTransfer)
			}
			b.measureFresh(c, "memory of connections", b.memoryOfConnections)
			if b.ctx.Err() != nil {
				return b.ctx.Err()
			}
		}
		log.Printf("memory: round %d of %d", round+1, b.options.rounds)
	}
	return nil
}

func (b *bench) size(c contestants.Contestant) {
	// Resolves the link to an installed package.
	if info, err := os.Stat(filepath.Join(b.options.bin, c.Program)); err == nil {
		b.figures.Add("size", c.Name, megabytes(info.Size()))
	}
}

// measureFresh measures a new process of a contestant.
func (b *bench) measureFresh(c contestants.Contestant, what string, measure func(*contestants.Running, load.Dial) error) {
	running, dial, err := b.start(c)
	if err == nil {
		defer running.Stop()
		err = measure(running, dial)
	} else {
		running = &contestants.Running{Contestant: c}
	}
	if err != nil && b.ctx.Err() == nil {
		b.failed(running, what, err)
	}
}

func (b *bench) memoryOfConnections(r *contestants.Running, dial load.Dial) error {
	b.figures.Add("start", r.Name, milliseconds(r.Started))
	idle, err := r.Settled()
	if err != nil {
		return err
	}
	b.figures.Add("memory_idle", r.Name, megabytes(idle.RSS))
	return load.Idle(dial, idleConnections, func() error {
		u, err := r.Settled()
		if err == nil {
			b.figures.Add("memory_connection", r.Name, float64(u.RSS-idle.RSS)/idleConnections/1000)
			b.figures.Add("threads", r.Name, float64(u.Threads))
		}
		return err
	})
}

func (b *bench) memoryOfStreams(r *contestants.Running, dial load.Dial) error {
	idle, err := r.Settled()
	if err != nil {
		return err
	}
	var during usage.Usage
	_, err = load.Streams(dial, openStreams, 10*spacing, settle, func() { during, _ = r.Usage() })
	if err == nil {
		b.figures.Add("memory_stream", r.Name, float64(during.RSS-idle.RSS)/openStreams/1000)
	}
	return err
}

func (b *bench) memoryOfTransfer(r *contestants.Running, dial load.Dial) error {
	const size = 1 << 30
	if _, err := load.Download(dial, size); err != nil {
		return err
	}
	// The memory must have been returned by now.
	time.Sleep(afterTransfer)
	u, err := r.Usage()
	if err != nil {
		return fmt.Errorf("after the transfer: %w", err)
	}
	b.figures.Add("memory_after", r.Name, megabytes(u.RSS))
	b.figures.Add("memory_peak", r.Name, megabytes(u.Peak))
	return nil
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }
