package node

import (
	"slices"
	"testing"
	"time"

	"tailscale.com/health"
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
