package node

import (
	"time"

	"tailscale.com/wgengine/filter"
)

// A poller detects changes between two polls.
type poller struct {
	node       *Node
	report     *report
	filter     *filter.Filter // seen last; a new policy replaces the pointer
	clockWrong bool
}

func (p *poller) poll(now time.Time) []Event {
	events := p.report.takeDue(now)
	for _, text := range p.node.refusals.take() {
		events = append(events, Event{Type: "refused", Error: text})
	}
	// A server that is restarting has no filter for a moment.
	if current, err := p.node.filter(); err == nil && current != p.filter {
		p.filter = current
		events = append(events, Event{Type: "netmap"})
	}
	if server, err := p.node.running(); err == nil {
		if ahead := skew(server); (ahead != 0) != p.clockWrong {
			p.clockWrong = ahead != 0
			events = append(events, Event{Type: "clock", Ahead: int64(ahead.Seconds())})
		}
	}
	return events
}
