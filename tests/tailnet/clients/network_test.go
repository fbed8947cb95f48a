package clients

import (
	"io"
	"net"
	"testing"
)

// carries sends a few bytes each way and waits for them.
func carries(t *testing.T, near, far net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		_, err := way[0].Write([]byte("still here"))
		must(t, err)
		_, err = io.ReadFull(way[1], make([]byte, len("still here")))
		must(t, err)
	}
}

func TestConnectionsOutliveRoaming(t *testing.T) {
	p := newPair(t)
	near, far := p.connect(t)
	carries(t, near, far)
	for range 2 {
		before := p.client.socket().LocalPort()
		must(t, p.client.Roam())
		if p.client.socket().LocalPort() == before {
			t.Error("the client is where it was")
		}
		carries(t, near, far)
	}
}

func TestRelayOnly(t *testing.T) {
	p := newPair(t)
	near, far := p.connect(t)
	carries(t, near, far)
	must(t, p.client.RelayOnly())
	carries(t, near, far)

	p.relay.Stop()
	_, err := near.Write([]byte("x"))
	must(t, err)
	arrived := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(far, make([]byte, 1))
		arrived <- err
	}()
	// Nothing else wakes it: all else would have to come by the relay.
	if conn, err := p.client.Dial(shortly(t), "server:80"); err == nil {
		conn.Close()
		t.Error("there is a way round the relay")
	}
	select {
	case err := <-arrived:
		t.Errorf("something has come round the relay: %v", err)
	default:
	}
	p.relay.Start()
	must(t, <-arrived)
	carries(t, near, far)
}
