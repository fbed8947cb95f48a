package main

import (
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"remote-ollama-proxy/benches/contestants"
	"remote-ollama-proxy/benches/load"
	"remote-ollama-proxy/benches/usage"
)

// spacing is the time between the chunks of a stream: 100 tokens a second.
const spacing = 10 * time.Millisecond

// Two cores can't encrypt and decrypt a thousand such streams, whatever forwards them, and
// a delay would only show the size of buffers. So delays are measured at a tenth of the
// rate, and throughput at the full rate.
const wideSpacing = 10 * spacing

// entrant is a running contestant.
type entrant struct {
	*contestants.Running
	dial load.Dial
	note func(id string, value float64)

	before, after usage.Usage // at the last two marks
}

// mark records the usage so far.
func (e *entrant) mark() {
	e.before = e.after
	e.after, _ = e.Usage() // the requests to a dead process fail too
}

// cpu returns the CPU time between the last two marks, per operation.
func (e *entrant) cpu(done int) time.Duration {
	return (e.after.CPU - e.before.CPU) / time.Duration(max(done, 1))
}

// busiest returns the share in it of the thread that used most.
func (e *entrant) busiest(done int) time.Duration {
	return e.after.Busiest(e.before) / time.Duration(max(done, 1))
}

// noteCost notes what one operation took between the last two marks: CPU time, in all and
// of the busiest thread, and voluntary context switches.
func (e *entrant) noteCost(operation string, done int) {
	if e.IsTailnet() && done > 0 {
		e.note("cpu_"+operation, microseconds(e.cpu(done)))
		e.note("busiest_"+operation, microseconds(e.busiest(done)))
		e.note("switches_"+operation, float64(e.after.Switches(e.before))/float64(done))
	}
}

// awaitIdle waits, for a limited time, until the contestant and the client are idle again,
// so that the next measurement is not affected.
func (e *entrant) awaitIdle() {
	const while, most, patience = 200 * time.Millisecond, 20 * time.Millisecond, 10 * time.Second
	cpu := func() time.Duration {
		self, _ := usage.Of(os.Getpid())
		u, _ := e.Usage()
		return self.CPU + u.CPU
	}
	end := time.Now().Add(patience)
	for before := cpu(); time.Now().Before(end); {
		time.Sleep(while)
		after := cpu()
		if after-before <= most {
			return
		}
		before = after
	}
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// scenarios are measured one after the other, each with all contestants in turn, so that a
// disturbance of some seconds affects all of them.
var scenarios = []struct {
	name    string
	measure func(*entrant) error
}{
	{"requests, 1 connection", requests(1)},
	{"requests, 32 connections", requests(32)},
	{"requests, 256 connections", requests(256)},
	{"first bytes", firstByte},
	{"1 stream", streams(1)},
	{"100 streams", streams(100)},
	{"1000 streams", streams(1000)},
	{"flood of streams", crush},
	{"transfers", transfers},
	{"connections", connections},
}

// speed measures times. All contestants run, and one at a time is measured.
func (b *bench) speed() error {
	entrants, end := b.startAll(b.chosen)
	defer end()
	for _, s := range scenarios {
		if !b.wants(s.name) {
			continue
		}
		begun := time.Now()
		failed := map[*entrant]bool{} // not measured again: a failure may take minutes
		for round := range b.options.rounds {
			for _, e := range rotated(entrants, round) {
				if b.ctx.Err() != nil {
					return b.ctx.Err()
				}
				if failed[e] {
					continue
				}
				if err := s.measure(e); err != nil {
					b.failed(e.Running, s.name, err)
					failed[e] = true
				}
				e.awaitIdle()
			}
		}
		if err := b.save(); err != nil {
			return err
		}
		log.Printf("%s: measured in %v", s.name, time.Since(begun).Round(time.Second))
	}
	return nil
}

// rotated returns the entrants in the order of a round.
func rotated(entrants []*entrant, round int) (order []*entrant) {
	for i := range entrants {
		order = append(order, entrants[(i+round)%len(entrants)])
	}
	return order
}

// wants reports whether the options include a measurement.
func (b *bench) wants(name string) bool {
	words := list(b.options.what)
	return len(words) == 0 || slices.ContainsFunc(words, func(word string) bool { return strings.Contains(name, word) })
}

// startAll starts contestants.
func (b *bench) startAll(all []contestants.Contestant) (entrants []*entrant, end func()) {
	for _, c := range all {
		running, dial, err := b.start(c)
		if err != nil {
			b.failed(&contestants.Running{Contestant: c}, "starting", err)
			continue
		}
		note := func(id string, value float64) { b.figures.Add(id, c.Name, value) }
		entrants = append(entrants, &entrant{Running: running, dial: dial, note: note})
	}
	return entrants, func() {
		for _, e := range entrants {
			e.Stop()
		}
	}
}

func requests(n int) func(*entrant) error {
	return func(e *entrant) error {
		const window = 2 * time.Second
		times, err := load.Requests(e.dial, n, window, e.mark)
		if err != nil {
			return err
		}
		e.note(fmt.Sprintf("latency%d_p50", n), microseconds(times.Quantile(0.5)))
		e.note(fmt.Sprintf("latency%d_p99", n), microseconds(times.Quantile(0.99)))
		e.note(fmt.Sprintf("rate%d", n), float64(len(times))/window.Seconds())
		switch n {
		case 1:
			e.noteCost("request1", len(times))
		case 32:
			e.noteCost("request32", len(times))
		}
		return nil
	}
}

func firstByte(e *entrant) error {
	times, err := load.FirstByte(e.dial, 500)
	if err == nil {
		e.note("first_byte", microseconds(times.Quantile(0.5)))
	}
	return err
}

func streams(n int) func(*entrant) error {
	return func(e *entrant) error {
		every := spacing
		if n >= 1000 {
			every = wideSpacing
		}
		times, err := load.Streams(e.dial, n, every, 2*time.Second, e.mark)
		if err != nil {
			return err
		}
		e.note(fmt.Sprintf("chunk%d_p50", n), microseconds(times.Quantile(0.5)))
		e.note(fmt.Sprintf("chunk%d_p99", n), microseconds(times.Quantile(0.99)))
		switch n {
		case 1:
			e.noteCost("chunk1", len(times))
		case 100:
			e.noteCost("chunk100", len(times))
		case 1000:
			e.note("chunk1000_max", milliseconds(times.Quantile(1)))
		}
		return nil
	}
}

func crush(e *entrant) error {
	const window = 2 * time.Second
	times, err := load.Streams(e.dial, 1000, spacing, window, e.mark)
	if err == nil {
		e.note("chunk_rate", float64(len(times))/window.Seconds())
	}
	return err
}

func transfers(e *entrant) error {
	const megabytes = 256
	for _, way := range []struct {
		id  string
		run func(load.Dial, int64) (time.Duration, error)
	}{{"download", load.Download}, {"upload", load.Upload}} {
		e.mark()
		took, err := way.run(e.dial, megabytes*1_000_000)
		if err != nil {
			return err
		}
		e.mark()
		e.note(way.id, megabytes/took.Seconds())
		if e.IsTailnet() {
			e.note("cpu_"+way.id, milliseconds(e.cpu(megabytes)))
			e.note("busiest_"+way.id, milliseconds(e.busiest(megabytes)))
		}
	}
	return nil
}

func connections(e *entrant) error {
	const window = time.Second
	alone, err := load.Connect(e.dial, 1, window)
	if err != nil {
		return err
	}
	together, err := load.Connect(e.dial, 32, window)
	if err != nil {
		return err
	}
	e.note("connect_p50", microseconds(alone.Quantile(0.5)))
	e.note("connect_rate", float64(len(together))/window.Seconds())
	return nil
}
