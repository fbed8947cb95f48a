package node

import (
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

func TestWrongClockIsAnEvent(t *testing.T) {
	tn := newTailnet(t)
	n := tn.upNode(t, "n")
	e := eventsOf(t, n)
	e.until("running", func(e Event) bool { return e.State == "Running" })
	sendClock := func(ahead time.Duration) {
		t.Helper()
		at := time.Now().Add(ahead)
		if !tn.AddRawMapResponse(tn.AllNodes()[0].Key, &tailcfg.MapResponse{ControlTime: &at}) {
			t.Fatal("the node has no poll")
		}
	}
	sendClock(2 * time.Minute) // within maxSkew
	sendClock(10 * time.Minute)
	if event := e.until("the clock is behind", ofType("clock")); event.Ahead < -601 || event.Ahead > -599 {
		t.Errorf("%+v", event)
	}
	sendClock(0)
	if event := e.until("the clock is right", ofType("clock")); event.Ahead != 0 {
		t.Errorf("%+v", event)
	}
}
