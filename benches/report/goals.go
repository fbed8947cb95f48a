package report

import (
	"fmt"
	"slices"
)

// A Goal is a bound of a ratio of two contestants, or of a value.
type Goal struct {
	Metric string
	Of, To string  // contestants; without To the bound is for the value itself
	Bound  float64 // a maximum, or a minimum if Metric.Higher
}

// alternatives are the programs that a user could run instead.
var alternatives = []string{"reverse", "libtailscale", "caddy", "tsnsrv", "haproxy"}

// Goals are what a complete run on two cores should reach. linkGoals has those for links.
var Goals = slices.Concat(
	noWorse("cpu_request1", alternatives...),
	noWorse("cpu_request32", alternatives...),
	noWorse("latency1_p50", "libtailscale", "caddy", "haproxy"),
	noWorse("chunk100_p99", alternatives...),
	noWorse("chunk1000_p99", alternatives...),
	noWorse("rate32", "haproxy"),
	[]Goal{
		{"rate32", "ours", "reverse", 2.2},
		{"chunk1_p50", "ours", "raw", 1.1},
		{"memory_idle", "ours", "", 40},
		{"memory_connection", "ours", "", 32},
		{"memory_after", "ours", "", 80},
		{"memory_peak", "ours", "", 150},
	},
	linkGoals(),
)

func noWorse(metric string, others ...string) (goals []Goal) {
	for _, other := range others {
		goals = append(goals, Goal{metric, "ours", other, 1})
	}
	return goals
}

// Outcome is the result of a goal.
type Outcome struct {
	Goal
	Value float64
	Met   bool
}

// target formats the goal.
func (g Goal) target() string {
	sign := "≤"
	if metric(g.Metric).Higher {
		sign = "≥"
	}
	if g.To == "" {
		return fmt.Sprintf("%s %s %s", sign, short(g.Bound), metric(g.Metric).Unit)
	}
	return fmt.Sprintf("%s %s × %s", sign, short(g.Bound), g.To)
}

// value formats the value.
func (o Outcome) value() string {
	if o.To == "" {
		return short(o.Value) + " " + metric(o.Metric).Unit
	}
	return fmt.Sprintf("%.2f ×", o.Value)
}

// Outcomes evaluates the goals that have figures.
func (r Report) Outcomes() (out []Outcome) {
	for _, g := range Goals {
		value, _, ok := r.Figures.Best(g.Metric, g.Of)
		if g.To != "" {
			value, ok = r.Figures.Ratio(g.Metric, g.Of, g.To)
		}
		if !ok {
			continue
		}
		met := value <= g.Bound
		if metric(g.Metric).Higher {
			met = value >= g.Bound
		}
		out = append(out, Outcome{g, value, met})
	}
	return out
}
