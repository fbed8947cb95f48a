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
	// A login and the probe may both find the control server out of reach.
	told := strings.HasPrefix(r.control, unreachablePrefix) && slices.ContainsFunc(warnings, func(w string) bool {
		return strings.HasPrefix(w, unreachablePrefix)
	})
	if r.control != "" && !told {
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
	list := append([]string{}, warnings...) // JSON [], never null
	return append(events, Event{Type: "health", Warnings: &list})
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

const unreachablePrefix = "the control server can't be reached: "

// unreachable is the warning for as long as the control server is out of reach.
func unreachable(cause string) string {
	return unreachablePrefix + cause + ": until it can, peers and rights stay as they were"
}

// transportFaults sorts what the network says, in words that tailscale passes on
// without the error itself. One outage shows several of a line in turn: a request on
// an open connection is reset, one on a new connection refused.
var transportFaults = []struct {
	words *regexp.Regexp
	class string
}{
	// First, since it quotes the fault of the connection to the DNS server.
	{regexp.MustCompile(`\blookup \S+|no such host|DNS has no address`), "its name can't be resolved"},
	{regexp.MustCompile(`connection (refused|reset|aborted|was forcibly closed)|broken pipe|\bEOF\b|use of closed network connection|(client|http2:.*) connection (lost|force closed)|server closed idle connection`), "connection refused or reset"},
	{regexp.MustCompile(`network is (unreachable|down)`), "no network"},
	{regexp.MustCompile(`i/o timeout|timed out|no answer within|context (deadline exceeded|canceled)|handshake timeout|no route to host|host is (unreachable|down)`), "no answer"},
}

// transportFault returns the class of a fault of the network; "" if text is about
// something else.
func transportFault(text string) string {
	for _, fault := range transportFaults {
		if fault.words.MatchString(text) {
			return fault.class
		}
	}
	return ""
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
				if class := transportFault(plainly(cause)); class != "" {
					text = unreachable(class)
				}
			}
		case tsconst.HealthWarnableDERPTimedOut, tsconst.HealthWarnableMapResponseTimeout:
			text = w.Title // the text has a duration in it, and would be another one each time
		}
		warnings = append(warnings, plainly(text))
	}
	slices.Sort(warnings)
	return warnings
}
