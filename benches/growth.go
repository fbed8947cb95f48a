package main

import (
	"fmt"
	"log"
	"time"

	"remote-ollama-proxy/benches/contestants"
	"remote-ollama-proxy/benches/load"
	"remote-ollama-proxy/benches/report"
)

// growing are the contestants in the growth plots.
var growing = []string{"raw", "ours", "before", "reverse"}

// growth repeats the measurements with more connections, grants and peers. Peers come
// last, since they can't be removed.
func (b *bench) growth() error {
	for _, axis := range []struct {
		report.Axis
		set func(n int) error
	}{
		{report.Axis{ID: "connections", Title: "connections", Points: []int{1, 8, 32, 128, 512, 1000}}, func(int) error { return nil }},
		{report.Axis{ID: "grants", Title: "grants in the policy", Points: []int{1, 10, 100, 1000}}, b.tailnet.Grant},
		{report.Axis{ID: "peers", Title: "peers in the netmap", Points: []int{1, 100, 1000, 10000}}, b.tailnet.SetPeers},
	} {
		begun := time.Now()
		growth := report.Growth{Axis: axis.Axis}
		for _, n := range axis.Points {
			if err := axis.set(n); err != nil {
				return err
			}
			connections := 32
			if axis.ID == "connections" {
				connections = n
			}
			for _, c := range b.among(growing) {
				if b.ctx.Err() != nil {
					return b.ctx.Err()
				}
				what := fmt.Sprintf("%d %s", n, axis.Title)
				b.measureFresh(c, what, func(r *contestants.Running, dial load.Dial) error { return b.point(&growth, n, r, dial, connections) })
			}
		}
		if err := b.tailnet.Grant(1); err != nil {
			return err
		}
		b.growths = append(b.growths, growth)
		log.Printf("growth with %s: measured in %v", axis.Title, time.Since(begun).Round(time.Second))
	}
	return nil
}

// point measures one contestant at one point of an axis.
func (b *bench) point(g *report.Growth, n int, r *contestants.Running, dial load.Dial, connections int) error {
	g.Add("start", r.Name, n, milliseconds(r.Started))
	if g.ID == "peers" {
		if err := b.idle(g, n, r); err != nil {
			return err
		}
	}
	const window = time.Second
	var spent []time.Duration
	times, err := load.Requests(dial, connections, window, func() {
		u, _ := r.Usage()
		spent = append(spent, u.CPU)
	})
	if err != nil {
		return err
	}
	u, err := r.Usage()
	if err != nil {
		return err
	}
	done := float64(len(times))
	g.Add("p50", r.Name, n, microseconds(times.Quantile(0.5)))
	g.Add("rate", r.Name, n, done/window.Seconds())
	g.Add("cpu", r.Name, n, milliseconds(spent[1]-spent[0])/done*1000)
	g.Add("memory", r.Name, n, megabytes(u.RSS))
	return nil
}

// idle measures the CPU of an idle contestant, after its start has settled.
func (b *bench) idle(g *report.Growth, n int, r *contestants.Running) error {
	const while = 5 * time.Second // covers periodic work
	time.Sleep(while)
	before, err := r.Usage()
	if err != nil {
		return err
	}
	time.Sleep(while)
	after, err := r.Usage()
	if err == nil {
		g.Add("idle", r.Name, n, milliseconds(after.CPU-before.CPU)/while.Seconds())
	}
	return err
}
