package report

import (
	"fmt"
	"time"
)

// A Link is a path over which contestants are measured.
type Link struct {
	RTT  time.Duration
	Loss float64 // share of packets, each way
}

// Links are the measured ones.
var Links = links()

func links() (all []Link) {
	for _, rtt := range []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond} {
		for _, loss := range []float64{0, 0.001, 0.01} {
			all = append(all, Link{rtt, loss})
		}
	}
	return all
}

// Name is the name of its measurements.
func (l Link) Name() string { return fmt.Sprintf("link of %v with %g%% loss", l.RTT, 100*l.Loss) }

// ID returns the ID of a metric over the link.
func (l Link) ID(what string) string {
	return fmt.Sprintf("link_%d_%g_%s", l.RTT.Milliseconds(), 100*l.Loss, what)
}

// linkMetrics are the rows of the table of links, in order.
func linkMetrics() (all []Metric) {
	for _, m := range []Metric{
		{ID: "first_byte", Title: "time to the first byte of a stream, p50", Unit: "ms"},
		{ID: "gap_p50", Title: "time between chunks sent every 10 ms, p50", Unit: "ms"},
		{ID: "gap_p99", Title: "time between chunks sent every 10 ms, p99", Unit: "ms"},
		{ID: "upload", Title: "upload of 10 MB", Unit: "s"},
		{ID: "download", Title: "download of 10 MB", Unit: "s"},
	} {
		for _, l := range Links {
			all = append(all, Metric{ID: l.ID(m.ID), Title: fmt.Sprintf("%s; %v, %g %% loss", m.Title, l.RTT, 100*l.Loss), Unit: m.Unit, Link: true})
		}
	}
	return all
}

// linkGoals compare with the raw forward, which has tailscale's own tuning. Transfers may
// take a little longer, since the proxy's receive buffers begin with a quarter of the size
// of tailscale's. Times on links with loss depend on which packets are lost, so there are
// goals for the first byte only.
func linkGoals() (goals []Goal) {
	for _, l := range Links {
		goals = append(goals, Goal{l.ID("first_byte"), "ours", "raw", 1.1})
		if l.Loss == 0 {
			goals = append(goals, Goal{l.ID("gap_p50"), "ours", "raw", 1.1})
			for _, what := range []string{"gap_p99", "upload", "download"} {
				goals = append(goals, Goal{l.ID(what), "ours", "raw", 1.25})
			}
		}
	}
	return goals
}
