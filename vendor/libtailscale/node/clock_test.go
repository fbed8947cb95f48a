package node

import (
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

func TestAWrongClockIsAnEvent(t *testing.T) {
	tn := newTailnet(t)
	n := tn.upNode(t, "n")
	e := eventsOf(t, n)
	e.until("running", func(e Event) bool { return e.State == "Running" })
	say := func(ahead time.Duration) {
		t.Helper()
		at := time.Now().Add(ahead)
		if !tn.AddRawMapResponse(tn.AllNodes()[0].Key, &tailcfg.MapResponse{ControlTime: &at}) {
			t.Fatal("the node does not listen")
		}
	}
	say(2 * time.Minute) // bearable
	say(10 * time.Minute)
	if event := e.until("the clock is behind", ofType("clock")); event.Ahead < -601 || event.Ahead > -599 {
		t.Errorf("%+v", event)
	}
	say(0)
	if event := e.until("the clock is right", ofType("clock")); event.Ahead != 0 {
		t.Errorf("%+v", event)
	}
}
