package node

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tailscale.com/health"
	"tailscale.com/tsconst"
	"tailscale.com/types/key"
)

func warningsIn(events []Event) []string {
	for _, e := range events {
		if e.Type == "health" {
			return *e.Warnings
		}
	}
	return nil
}

func TestSettledWarningsAreReportedOnce(t *testing.T) {
	r, now := &report{}, time.Now()
	at := func(seconds float64) []string {
		return warningsIn(r.takeDue(now.Add(time.Duration(seconds * float64(time.Second)))))
	}
	set := func(texts ...string) {
		state := &health.State{Warnings: map[health.WarnableCode]health.UnhealthyState{}}
		for _, text := range texts {
			state.Warnings[health.WarnableCode(text)] = health.UnhealthyState{Text: text}
		}
		r.setHealth(state)
	}
	if got := at(0); got != nil {
		t.Errorf("reported before tailscale did: %q", got)
	}
	set()
	at(0)
	if got := at(3); got == nil || len(got) != 0 {
		t.Errorf("the health is not reported: %q", got)
	}
	// The network returns: five changes, and one report.
	reports := 0
	for i, texts := range [][]string{{"a"}, {"a", "b"}, {"b"}, {}, {"b"}} {
		set(texts...)
		if at(4+float64(i)/2) != nil {
			reports++
		}
	}
	if got := at(9); reports != 0 || !slices.Equal(got, []string{"b"}) {
		t.Errorf("reported %d times while unsettled, then %q", reports, got)
	}
	set("b")
	if got := at(20); got != nil {
		t.Errorf("reported again: %q", got)
	}
	r.setControl("away", false)
	r.setDuplicate(true)
	at(21)
	if got := at(24); !slices.Equal(got, []string{duplicateWarning, "away", "b"}) {
		t.Errorf("%q", got)
	}
}

// While the control server is down, each attempt of its client may fail differently, in
// the login and in the update of the node.
func TestOneOutageIsOneWarning(t *testing.T) {
	const at = `"http://127.0.0.1:41445/key?v=131"`
	logins := []string{
		`fetch control key: Get ` + at + `: read tcp 127.0.0.1:51682->127.0.0.1:41445: read: connection reset by peer`,
		`fetch control key: Get ` + at + `: write tcp 127.0.0.1:51684->127.0.0.1:41445: write: broken pipe`,
		`fetch control key: Get ` + at + `: dial tcp 127.0.0.1:41445: connect: connection refused`,
		`fetch control key: Get ` + at + `: EOF`,
	}
	updates := []error{
		errors.New("control server is too old; no noise key"),
		&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
		&url.Error{Op: "Post", URL: "http://127.0.0.1:41445/machine/map", Err: io.ErrUnexpectedEOF},
	}
	outage := func(login, update bool) (reported [][]string) {
		r, now := &report{}, time.Now()
		r.setHealth(&health.State{})
		for second := range 60 {
			if attempt := second / 4; second >= 10 {
				if login {
					text := "You are logged out. The last login error was: " + logins[attempt%len(logins)]
					r.setHealth(&health.State{Warnings: map[health.WarnableCode]health.UnhealthyState{
						tsconst.HealthWarnableLoginState: {Text: text},
					}})
				}
				if update && second >= 16 { // once the grace is over
					if err := updates[attempt%len(updates)]; login || attempt%len(updates) > 0 {
						r.setControl(unreachable(causeOf(err)), false)
					}
				}
			}
			if warnings := warningsIn(r.takeDue(now.Add(time.Duration(second) * time.Second))); warnings != nil {
				reported = append(reported, warnings)
			}
		}
		return reported
	}
	want := [][]string{{}, {unreachable("connection refused or reset")}}
	for _, c := range []struct{ login, update bool }{{true, false}, {false, true}, {true, true}} {
		if got := outage(c.login, c.update); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if cause := causeOf(updates[0]); strings.Contains(cause, "too old") {
		t.Error(cause)
	}
}

func TestNetworkFaultsAreClassified(t *testing.T) {
	for text, want := range map[string]string{
		`dial tcp: lookup c.x on 127.0.0.53:53: read udp 127.0.0.1:1->127.0.0.53:53: read: connection refused`: "its name can't be resolved",
		`resolve "c.x": no DNS fallback candidates remain for "c.x"`:                                           "its name can't be resolved",
		"dial tcp 192.0.2.1:443: connect: network is unreachable":                                              "no network",
		"dial tcp 192.0.2.1:443: i/o timeout":                                                                  "no answer",
		"no answer within 5s":                                                                                  "no answer",
		"tls: failed to verify certificate: x509: certificate has expired or is not yet valid":                 "",
		"initial fetch failed 502: bad gateway":                                                                "",
		"register request: http 401: invalid key":                                                              "",
	} {
		if got := networkFault(normalize(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestDeletionIsReportedAtOnceAndRevoked(t *testing.T) {
	r, now := &report{}, time.Now()
	r.setControl("", true)
	if events := r.takeDue(now); len(events) != 1 || events[0].Type != "membership" || events[0].Error == "" {
		t.Errorf("%+v", events)
	}
	if events := r.takeDue(now); events != nil {
		t.Errorf("reported again: %+v", events)
	}
	r.setControl("", false)
	if events := r.takeDue(now); len(events) != 1 || events[0].Error != "" {
		t.Errorf("%+v", events)
	}
}

func TestNormalizedFaultHasOneText(t *testing.T) {
	for text, want := range map[string]string{
		"read tcp 127.0.0.1:51682->127.0.0.1:41445: reset":               "read tcp 127.0.0.1:41445: reset",
		`resolve "c.x": no DNS fallback candidates remain for "c.x" now`: `resolve "c.x": the system's DNS has no address for it now`,
		"two\n lines": "two lines",
	} {
		if got := normalize(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// A cached netmap contains the disco key of the previous process, which is no duplicate.
func TestDuplicateIsReportedOnlyFromAPolledNetmap(t *testing.T) {
	r, now := &report{}, time.Now()
	own, other := key.NewDisco().Public(), key.NewDisco().Public()
	w := controlWatcher{report: r, own: map[key.DiscoPublic]bool{own: true}}
	step := func(known key.DiscoPublic, inPoll bool, span time.Duration) bool {
		for end := now.Add(span); now.Before(end); now = now.Add(controlInterval) {
			w.compareKeys(known, w.isCurrent(inPoll, now), now)
			switch { // as check does
			case inPoll:
				w.pollLost = time.Time{}
			case w.pollLost.IsZero():
				w.pollLost = now
			}
		}
		return r.duplicate
	}
	if step(other, false, time.Minute) {
		t.Error("reported from a cached netmap")
	}
	if step(other, true, duplicateGrace/2) {
		t.Error("reported when the poll begins, from the previous netmap")
	}
	if step(other, false, time.Minute) || step(other, true, duplicateGrace/2) {
		t.Error("the time without a poll was counted")
	}
	if step(own, true, time.Minute) {
		t.Error("reported for the own key")
	}
	for range 10 { // the two end each other's polls
		step(other, true, 2*controlInterval)
		step(other, false, 2*controlInterval)
	}
	if !r.duplicate {
		t.Error("a duplicate is not reported")
	}
	if !step(other, false, time.Minute) {
		t.Error("revoked without a poll")
	}
	if step(own, true, controlInterval) {
		t.Error("not revoked")
	}
}
