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

func toldOf(events []Event) []string {
	for _, e := range events {
		if e.Type == "health" {
			return *e.Warnings
		}
	}
	return nil
}

func TestWarningsAreToldOnceTheyHaveSettledAndOnce(t *testing.T) {
	r, now := &report{}, time.Now()
	at := func(seconds float64) []string {
		return toldOf(r.due(now.Add(time.Duration(seconds * float64(time.Second)))))
	}
	say := func(texts ...string) {
		state := &health.State{Warnings: map[health.WarnableCode]health.UnhealthyState{}}
		for _, text := range texts {
			state.Warnings[health.WarnableCode(text)] = health.UnhealthyState{Text: text}
		}
		r.setHealth(state)
	}
	if told := at(0); told != nil {
		t.Errorf("told before anything is known: %q", told)
	}
	say()
	at(0)
	if told := at(3); told == nil || len(told) != 0 {
		t.Errorf("health is not told: %q", told)
	}
	// A network that comes back: five changes, and one word of it.
	said := 0
	for i, texts := range [][]string{{"a"}, {"a", "b"}, {"b"}, {}, {"b"}} {
		say(texts...)
		if at(4+float64(i)/2) != nil {
			said++
		}
	}
	if told := at(9); said != 0 || !slices.Equal(told, []string{"b"}) {
		t.Errorf("told %d times meanwhile, then %q", said, told)
	}
	say("b")
	if told := at(20); told != nil {
		t.Errorf("told again: %q", told)
	}
	r.setControl("away", false)
	r.setTwin(true)
	at(21)
	if told := at(24); !slices.Equal(told, []string{twinWarning, "away", "b"}) {
		t.Errorf("%q", told)
	}
}

// While the control server is down, its client meets another fault of the network at
// each try, in the login and in the update of the node.
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
	outage := func(login, update bool) (told [][]string) {
		r, now := &report{}, time.Now()
		r.setHealth(&health.State{})
		for second := range 60 {
			if try := second / 4; second >= 10 {
				if login {
					text := "You are logged out. The last login error was: " + logins[try%len(logins)]
					r.setHealth(&health.State{Warnings: map[health.WarnableCode]health.UnhealthyState{
						tsconst.HealthWarnableLoginState: {Text: text},
					}})
				}
				if update && second >= 16 { // once the grace is over
					if err := updates[try%len(updates)]; login || try%len(updates) > 0 {
						r.setControl(unreachable(causeOf(err)), false)
					}
				}
			}
			if warnings := toldOf(r.due(now.Add(time.Duration(second) * time.Second))); warnings != nil {
				told = append(told, warnings)
			}
		}
		return told
	}
	want := [][]string{{}, {unreachable("connection refused or reset")}}
	for _, c := range []struct{ login, update bool }{{true, false}, {false, true}, {true, true}} {
		if told := outage(c.login, c.update); !reflect.DeepEqual(told, want) {
			t.Errorf("%+v: %q", c, told)
		}
	}
	if cause := causeOf(updates[0]); strings.Contains(cause, "too old") {
		t.Error(cause)
	}
}

func TestTransportFaultsAreTold(t *testing.T) {
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
		if got := transportFault(plainly(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestDeletionIsToldAtOnceAndTakenBack(t *testing.T) {
	r, now := &report{}, time.Now()
	r.setControl("", true)
	if events := r.due(now); len(events) != 1 || events[0].Type != "membership" || events[0].Error == "" {
		t.Errorf("%+v", events)
	}
	if events := r.due(now); events != nil {
		t.Errorf("told again: %+v", events)
	}
	r.setControl("", false)
	if events := r.due(now); len(events) != 1 || events[0].Error != "" {
		t.Errorf("%+v", events)
	}
}

func TestOneTroubleHasOneText(t *testing.T) {
	for text, want := range map[string]string{
		"read tcp 127.0.0.1:51682->127.0.0.1:41445: reset":               "read tcp 127.0.0.1:41445: reset",
		`resolve "c.x": no DNS fallback candidates remain for "c.x" now`: `resolve "c.x": the system's DNS has no address for it now`,
		"two\n lines": "two lines",
	} {
		if got := plainly(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// A node that is up by its cached netmap, without the control server, finds the disco
// key of the process before it there. That is no twin; one that a poll names is.
func TestTwinIsToldOnlyByAPoll(t *testing.T) {
	r, now := &report{}, time.Now()
	own, other := key.NewDisco().Public(), key.NewDisco().Public()
	w := controlWatcher{report: r, own: map[key.DiscoPublic]bool{own: true}}
	step := func(known key.DiscoPublic, inPoll bool, span time.Duration) bool {
		for end := now.Add(span); now.Before(end); now = now.Add(controlInterval) {
			w.compareKeys(known, w.isCurrent(inPoll, now), now)
			switch { // as look does
			case inPoll:
				w.outOf = time.Time{}
			case w.outOf.IsZero():
				w.outOf = now
			}
		}
		return r.twin
	}
	if step(other, false, time.Minute) {
		t.Error("told by a cached netmap")
	}
	if step(other, true, twinGrace/2) {
		t.Error("told at once when the poll begins, by the netmap of before")
	}
	if step(other, false, time.Minute) || step(other, true, twinGrace/2) {
		t.Error("told by the time outside a poll")
	}
	if step(own, true, time.Minute) {
		t.Error("told of this process's own key")
	}
	for range 10 { // the two end each other's polls
		step(other, true, 2*controlInterval)
		step(other, false, 2*controlInterval)
	}
	if !r.twin {
		t.Error("a twin is not told")
	}
	if !step(other, false, time.Minute) {
		t.Error("taken back when the control server goes away")
	}
	if step(own, true, controlInterval) {
		t.Error("not taken back")
	}
}
