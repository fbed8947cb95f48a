package node

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"tailscale.com/health"
	"tailscale.com/tsconst"
)

// settleTime is how long warnings must have stayed the same before they are told:
// after a network change or a sleep they come and go for a moment.
const settleTime = 2 * time.Second

const twinWarning = "another process uses this node's keys, as from a copy of its state folder: " +
	"the tailnet sends peers to that one; stop it, or log one of the two in as a node of its own"

// A report collects what is wrong with a node from everyone who finds out, for one
// stream of events.
type report struct {
	mu      sync.Mutex
	health  []string // tailscale's own warnings
	known   bool     // tailscale has said how its health is
	control string   // why the control server can't be reached
	deleted bool     // the control server no longer knows the node
	twin    bool     // another process has this node's keys

	warnings []string // told last, if anything was
	pending  []string
	since    time.Time // of pending
	anything bool      // warnings were told
	gone     bool      // it was told that the node is deleted
}

func (r *report) setHealth(state *health.State) {
	warnings := warningsOf(state)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health, r.known = warnings, true
}

func (r *report) setControl(trouble string, deleted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.control, r.deleted = trouble, deleted
}

func (r *report) setTwin(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.twin = on
}

// due returns the events that are to be told now.
func (r *report) due(now time.Time) (events []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deleted != r.gone {
		r.gone = r.deleted
		event := Event{Type: "membership"}
		if r.gone {
			event.Error = "the control server no longer knows this node: it was deleted there"
		}
		events = append(events, event)
	}
	if !r.known {
		return events
	}
	warnings := slices.Clone(r.health)
	if r.control != "" {
		warnings = append(warnings, r.control)
	}
	if r.twin {
		warnings = append(warnings, twinWarning)
	}
	slices.Sort(warnings)
	if r.since.IsZero() || !slices.Equal(warnings, r.pending) {
		r.pending, r.since = warnings, now
	}
	if now.Sub(r.since) < settleTime || r.anything && slices.Equal(warnings, r.warnings) {
		return events
	}
	r.warnings, r.anything = warnings, true
	told := append([]string{}, warnings...) // JSON [], never null
	return append(events, Event{Type: "health", Warnings: &told})
}

var (
	ownPort    = regexp.MustCompile(`\b(read|write) (tcp|udp) \S+->`)
	noFallback = regexp.MustCompile(`no DNS fallback (candidates remain|options) for "[^"]*"`)
)

// plainly rewrites a text of tailscale's on one line. Without the port of this end,
// which changes, one trouble has one text; and of a name that can't be resolved it
// should not say that other servers were to be asked, which refuseBootstrap forbids.
func plainly(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	text = ownPort.ReplaceAllString(text, "$1 $2 ")
	return noFallback.ReplaceAllString(text, "the system's DNS has no address for it")
}

// warningsOf picks what is worth telling.
func warningsOf(state *health.State) []string {
	warnings := []string{}
	for code, w := range state.Warnings {
		text := w.Text
		switch code {
		case tsconst.HealthWarnableTLSCertPending: // it is being asked for, which is no harm
			continue
		case tsconst.HealthWarnableWarmingUp: // as each node does
			continue
		case tsconst.HealthWarnableNotInMapPoll: // watchControl tells it minutes earlier
			continue
		case tsconst.HealthWarnableLoginState:
			// "You are logged out. The last login error was: " is true and no help.
			if _, cause, ok := strings.Cut(text, "last login error was: "); ok {
				text = "the control server has not let the node in: " + cause
			}
		case tsconst.HealthWarnableDERPTimedOut, tsconst.HealthWarnableMapResponseTimeout:
			text = w.Title // the text has a duration in it, and would be another one each time
		}
		warnings = append(warnings, plainly(text))
	}
	slices.Sort(warnings)
	return warnings
}
