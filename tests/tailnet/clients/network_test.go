package clients

import (
	"io"
	"net"
	"testing"
)

// exchange sends a few bytes each way and waits for them.
func exchange(t *testing.T, near, far net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		_, err := way[0].Write([]byte("still here"))
		must(t, err)
		_, err = io.ReadFull(way[1], make([]byte, len("still here")))
		must(t, err)
	}
}

func TestConnectionsSurviveRoaming(t *testing.T) {
	p := newPair(t)
	near, far := p.connect(t)
	exchange(t, near, far)
	for range 2 {
		before := p.client.socket().LocalPort()
		must(t, p.client.Roam())
		if p.client.socket().LocalPort() == before {
			t.Error("the port has not changed")
		}
		exchange(t, near, far)
	}
}

func TestRelayOnlyClientUsesOnlyTheRelay(t *testing.T) {
	p := newPair(t)
	near, far := p.connect(t)
	exchange(t, near, far)
	must(t, p.client.RelayOnly())
	exchange(t, near, far)

	p.relay.Stop()
	_, err := near.Write([]byte("x"))
	must(t, err)
	arrived := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(far, make([]byte, 1))
		arrived <- err
	}()
	// A dial would use any other path.
	if conn, err := p.client.Dial(shortly(t), "server:80"); err == nil {
		conn.Close()
		t.Error("a dial bypassed the relay")
	}
	select {
	case err := <-arrived:
		t.Errorf("data bypassed the relay: %v", err)
	default:
	}
	p.relay.Start()
	must(t, <-arrived)
	exchange(t, near, far)
}
