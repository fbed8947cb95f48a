package node

import (
	"slices"
	"strings"
	"sync"
	"time"

	"tailscale.com/health"
)

// settleTime is how long warnings must be unchanged before they are reported: after a
// network change or a sleep they appear and disappear for a moment.
const settleTime = 2 * time.Second

const duplicateWarning = "another process uses this node's keys, as from a copy of its state folder: " +
	"the tailnet sends peers to that one; stop it, or log one of the two in as a node of its own"

// A report collects the faults of a node from several goroutines, for one stream of
// events.
type report struct {
	mu          sync.Mutex
	health      []string // tailscale's own warnings
	healthKnown bool     // tailscale has reported its health
	control     string   // why the control server is unreachable
	deleted     bool     // the control server no longer knows the node
	duplicate   bool     // another process has this node's keys

	pending         []string
	pendingSince    time.Time
	reported        []string
	hasReported     bool
	reportedDeleted bool
}

func (r *report) setHealth(state *health.State) {
	warnings := warningsOf(state)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health, r.healthKnown = warnings, true
}

func (r *report) setControl(warning string, deleted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.control, r.deleted = warning, deleted
}

func (r *report) setDuplicate(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.duplicate = on
}

// takeDue returns the events that are due and marks them as reported.
func (r *report) takeDue(now time.Time) (events []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deleted != r.reportedDeleted {
		r.reportedDeleted = r.deleted
		event := Event{Type: "membership"}
		if r.deleted {
			event.Error = "the control server no longer knows this node: it was deleted there"
		}
		events = append(events, event)
	}
	if !r.healthKnown {
		return events
	}
	warnings := r.warnings()
	if r.pendingSince.IsZero() || !slices.Equal(warnings, r.pending) {
		r.pending, r.pendingSince = warnings, now
	}
	if now.Sub(r.pendingSince) < settleTime || r.hasReported && slices.Equal(warnings, r.reported) {
		return events
	}
	r.reported, r.hasReported = warnings, true
	list := append([]string{}, warnings...) // JSON [], never null
	return append(events, Event{Type: "health", Warnings: &list})
}

// warnings returns all current warnings, sorted. The caller holds mu.
func (r *report) warnings() []string {
	warnings := slices.Clone(r.health)
	// A login and a probe may both find the control server unreachable.
	repeated := strings.HasPrefix(r.control, unreachablePrefix) && slices.ContainsFunc(warnings, func(w string) bool {
		return strings.HasPrefix(w, unreachablePrefix)
	})
	if r.control != "" && !repeated {
		warnings = append(warnings, r.control)
	}
	if r.duplicate {
		warnings = append(warnings, duplicateWarning)
	}
	slices.Sort(warnings)
	return warnings
}
