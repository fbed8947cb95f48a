// Package report collects the measurements and writes them to the terminal, as JSON, into
// the document and as plots.
package report

import (
	"fmt"
	"math"
	"slices"
)

// A Metric is one measurement of each contestant.
type Metric struct {
	ID     string
	Title  string
	Unit   string
	Higher bool // whether more is better
	Most   bool // whether the maximum of all rounds counts
	Link   bool // whether it is in the table of links
}

// Metrics are the rows of the tables, in order.
var Metrics = slices.Concat(localMetrics, linkMetrics())

var localMetrics = []Metric{
	{ID: "latency1_p50", Title: "latency, 1 connection, p50", Unit: "µs"},
	{ID: "latency1_p99", Title: "latency, 1 connection, p99", Unit: "µs"},
	{ID: "latency32_p50", Title: "latency, 32 connections, p50", Unit: "µs"},
	{ID: "latency32_p99", Title: "latency, 32 connections, p99", Unit: "µs"},
	{ID: "latency256_p50", Title: "latency, 256 connections, p50", Unit: "µs"},
	{ID: "latency256_p99", Title: "latency, 256 connections, p99", Unit: "µs"},
	{ID: "rate1", Title: "requests per second, 1 connection", Higher: true},
	{ID: "rate32", Title: "requests per second, 32 connections", Higher: true},
	{ID: "rate256", Title: "requests per second, 256 connections", Higher: true},
	{ID: "cpu_request1", Title: "CPU per request, 1 connection", Unit: "µs"},
	{ID: "cpu_request32", Title: "CPU per request, 32 connections", Unit: "µs"},
	{ID: "busiest_request1", Title: "CPU of the busiest thread per request, 1 connection", Unit: "µs"},
	{ID: "busiest_request32", Title: "CPU of the busiest thread per request, 32 connections", Unit: "µs"},
	{ID: "switches_request1", Title: "voluntary context switches per request, 1 connection"},
	{ID: "switches_request32", Title: "voluntary context switches per request, 32 connections"},
	{ID: "first_byte", Title: "time to the first byte of a stream, p50", Unit: "µs"},
	{ID: "chunk1_p50", Title: "chunk delay, 1 stream, p50", Unit: "µs"},
	{ID: "chunk1_p99", Title: "chunk delay, 1 stream, p99", Unit: "µs"},
	{ID: "chunk100_p50", Title: "chunk delay, 100 streams, p50", Unit: "µs"},
	{ID: "chunk100_p99", Title: "chunk delay, 100 streams, p99", Unit: "µs"},
	{ID: "chunk1000_p50", Title: "chunk delay, 1,000 streams at 100 ms, p50", Unit: "µs"},
	{ID: "chunk1000_p99", Title: "chunk delay, 1,000 streams at 100 ms, p99", Unit: "µs"},
	{ID: "chunk1000_max", Title: "chunk delay, 1,000 streams at 100 ms, maximum", Unit: "ms", Most: true},
	{ID: "chunk_rate", Title: "chunks per second, 1,000 streams at 10 ms", Higher: true},
	{ID: "cpu_chunk1", Title: "CPU per chunk, 1 stream", Unit: "µs"},
	{ID: "cpu_chunk100", Title: "CPU per chunk, 100 streams", Unit: "µs"},
	{ID: "busiest_chunk1", Title: "CPU of the busiest thread per chunk, 1 stream", Unit: "µs"},
	{ID: "busiest_chunk100", Title: "CPU of the busiest thread per chunk, 100 streams", Unit: "µs"},
	{ID: "switches_chunk1", Title: "voluntary context switches per chunk, 1 stream"},
	{ID: "switches_chunk100", Title: "voluntary context switches per chunk, 100 streams"},
	{ID: "download", Title: "download", Unit: "MB/s", Higher: true},
	{ID: "upload", Title: "upload", Unit: "MB/s", Higher: true},
	{ID: "cpu_download", Title: "CPU per MB downloaded", Unit: "ms"},
	{ID: "cpu_upload", Title: "CPU per MB uploaded", Unit: "ms"},
	{ID: "busiest_download", Title: "CPU of the busiest thread per MB downloaded", Unit: "ms"},
	{ID: "busiest_upload", Title: "CPU of the busiest thread per MB uploaded", Unit: "ms"},
	{ID: "connect_p50", Title: "new connection and first answer, p50", Unit: "µs"},
	{ID: "connect_rate", Title: "new connections per second, 32 at a time", Higher: true},
	{ID: "start", Title: "start-up time", Unit: "ms"},
	{ID: "memory_idle", Title: "memory, idle", Unit: "MB"},
	{ID: "memory_connection", Title: "memory per idle connection, 1,000 open", Unit: "kB"},
	{ID: "memory_stream", Title: "memory per stream, 500 running", Unit: "kB"},
	{ID: "memory_peak", Title: "peak memory during a 1 GiB transfer", Unit: "MB"},
	{ID: "memory_after", Title: "memory 10 s after the transfer", Unit: "MB"},
	{ID: "threads", Title: "threads with 1,000 connections", Unit: ""},
	{ID: "size", Title: "program size", Unit: "MB"},
}

// metric returns the metric with an ID.
func metric(id string) Metric {
	i := slices.IndexFunc(Metrics, func(m Metric) bool { return m.ID == id })
	if i < 0 {
		panic("no metric " + id)
	}
	return Metrics[i]
}

// name returns the title with the unit.
func (m Metric) name() string {
	if m.Unit == "" {
		return m.Title
	}
	return m.Title + ", " + m.Unit
}

// Figures holds the values of every round, by metric and contestant.
type Figures map[string]map[string][]float64

// Add adds a value.
func (f Figures) Add(id, contestant string, value float64) {
	metric(id)
	if f[id] == nil {
		f[id] = map[string][]float64{}
	}
	f[id][contestant] = append(f[id][contestant], value)
}

// Best returns the values of the best and the worst round.
func (f Figures) Best(id, contestant string) (best, worst float64, ok bool) {
	values := f[id][contestant]
	if len(values) == 0 {
		return 0, 0, false
	}
	low, high := slices.Min(values), slices.Max(values)
	switch m := metric(id); {
	case m.Most:
		return high, high, true
	case m.Higher:
		return high, low, true
	}
	return low, high, true
}

// Ratio returns the best value of one contestant divided by that of another.
func (f Figures) Ratio(id, contestant, to string) (float64, bool) {
	a, _, okA := f.Best(id, contestant)
	b, _, okB := f.Best(id, to)
	if !okA || !okB || b == 0 {
		return 0, false
	}
	return a / b, true
}

// short formats a number with three significant digits.
func short(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) >= 100:
		return thousands(int64(math.Round(v)))
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
