package main

import (
	"fmt"
	"log"
	"slices"
	"sync"
	"time"

	"remote-ollama-proxy/benches/load"
	"remote-ollama-proxy/benches/report"
	"remote-ollama-proxy/tests/tailnet/clients"
)

// linked are the contestants that are measured over links. Raw and reverse have
// tailscale's own sizes of TCP buffers.
var linked = []string{"raw", "ours", "before", "reverse", "libtailscale"}

// transferred is the size of each transfer over a link, in bytes.
const transferred = 10_000_000

// link measures what one client notices over links with latency and loss.
func (b *bench) link() error {
	// The nodes find each other before the link is slow.
	if err := b.tailnet.SetLink(clients.Link{}); err != nil {
		return err
	}
	defer b.tailnet.RemoveLink()
	entrants, end := b.startAll(b.among(linked))
	defer end()
	failed := map[*entrant]bool{} // not measured again: a failure may take minutes
	for _, l := range report.Links {
		if !b.wants(l.Name()) {
			continue
		}
		begun := time.Now()
		if err := b.tailnet.SetLink(clients.Link{Delay: l.RTT / 2, Loss: l.Loss}); err != nil {
			return err
		}
		var order []*entrant // of all rounds
		for round := range b.options.rounds {
			order = append(order, rotated(entrants, round)...)
		}
		// With loss all entrants in all rounds are measured at once, since they wait nearly all
		// the time: a transfer takes up to two minutes.
		size := 1
		if l.Loss > 0 {
			size = len(order)
		}
		for group := range slices.Chunk(order, size) {
			if b.ctx.Err() != nil {
				return b.ctx.Err()
			}
			group = slices.DeleteFunc(slices.Clone(group), func(e *entrant) bool { return failed[e] })
			if err := b.overLink(group, l, failed); err != nil {
				return err
			}
		}
		if err := b.save(); err != nil {
			return err
		}
		log.Printf("%s: measured in %v", l.Name(), time.Since(begun).Round(time.Second))
	}
	return nil
}

// overLink measures entrants at once, and adds to failed. It fails if their transfers have
// not taken the link.
func (b *bench) overLink(group []*entrant, l report.Link, failed map[*entrant]bool) error {
	before, done := b.tailnet.LinkBytes(), int64(0)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, e := range group {
		all.Go(func() {
			figures, err := measureLink(e.dial, l.RTT)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				done++
				for what, value := range figures {
					e.note(l.ID(what), value)
				}
			case b.ctx.Err() == nil:
				failed[e] = true
				b.failed(e.Running, l.Name(), err)
			}
		})
	}
	all.Wait()
	if passed := b.tailnet.LinkBytes() - before; passed < done*2*transferred {
		return fmt.Errorf("%d bytes took the %s instead of at least %d", passed, l.Name(), done*2*transferred)
	}
	return nil
}

// firstBytes measures first bytes. While a node is not sure of a changed path, packets may
// take the relay, which is not behind the link: then it measures again.
func firstBytes(dial load.Dial, rtt time.Duration) (load.Times, error) {
	for range 5 {
		times, err := load.FirstByte(dial, 20)
		if err != nil || times.Quantile(0) >= rtt {
			return times, err
		}
	}
	return nil, fmt.Errorf("answers bypass the link: they take less than %v", rtt)
}

// measureLink measures one entrant and returns its figures.
func measureLink(dial load.Dial, rtt time.Duration) (map[string]float64, error) {
	first, err := firstBytes(dial, rtt)
	if err != nil {
		return nil, err
	}
	gaps, err := load.Gaps(dial, 500, spacing)
	if err != nil {
		return nil, err
	}
	upload, err := load.Upload(dial, transferred)
	if err != nil {
		return nil, err
	}
	download, err := load.Download(dial, transferred)
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"first_byte": milliseconds(first.Quantile(0.5)), "gap_p50": milliseconds(gaps.Quantile(0.5)),
		"gap_p99": milliseconds(gaps.Quantile(0.99)), "upload": upload.Seconds(), "download": download.Seconds(),
	}, nil
}
