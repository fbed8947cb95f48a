package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	gwaiter "gvisor.dev/gvisor/pkg/waiter"
)

func TestIdentityComesWithTheConnection(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	var id Identity
	must(t, json.Unmarshal(far.conn.Identity, &id))
	if id.Node != "client.tailnet.test" || id.User == "" || len(id.Tags) != 0 || id.StableID == "" {
		t.Errorf("identity %+v", id)
	}
	if far.conn.Remote.Addr() != p.client.Addresses()[0] || far.conn.Local.String() != p.addr {
		t.Errorf("addresses %v, %v", far.conn.Remote, far.conn.Local)
	}
	who, err := p.server.WhoIs(far.conn.Remote)
	must(t, err)
	if who.StableID != id.StableID {
		t.Errorf("whois says %+v", who)
	}
	ok, err := p.server.CheckAccess(far.conn.Remote.Addr(), far.conn.Local)
	if !ok || err != nil {
		t.Errorf("access %v, %v", ok, err)
	}
}

func TestAbortReachesPeer(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer far.close()
	_, err := near.Write([]byte("half a "))
	must(t, err)
	buf := make([]byte, 7)
	_, err = io.ReadFull(far, buf)
	must(t, err)
	near.abort()
	if _, err := far.readAll(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the other side saw %v, not a reset", err)
	}
}

// A host program that does not read learns of an end by asking.
func TestPeerThatLeftIsNoticedBehindUnreadBytes(t *testing.T) {
	p := newPair(t)
	for _, leave := range []func(end){end.close, end.abort, func(e end) { must(t, e.closeWrite()) }} {
		near, far := p.connect()
		_, err := near.Write([]byte("unread"))
		must(t, err)
		eventually(t, "the bytes are there", func() bool { return far.conn.endpoint.Readiness(gwaiter.ReadableEvents) != 0 })
		if PeerLeft(far.conn.ID) {
			t.Error("the peer is said to have left while it is there")
		}
		leave(near)
		eventually(t, "the peer is said to have left", func() bool { return PeerLeft(far.conn.ID) })
		far.close()
		near.close() // once more does no harm, and one of them has only half left
	}
}

func TestEndIsNoReset(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	_, err := near.Write([]byte("whole"))
	must(t, err)
	near.close()
	b, err := far.readAll()
	if string(b) != "whole" || err != nil {
		t.Errorf("the other side saw %q, %v", b, err)
	}
	far.close()
}

// What is still on its way when the reader leaves is a reset for the writer.
func TestReaderThatLeavesResetsWriter(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	far.close()
	for {
		if _, err := near.Write(make([]byte, 64<<10)); err != nil {
			break
		}
	}
	near.close()
}

func TestDroppedListenerLeavesNothing(t *testing.T) {
	p := newPair(t)
	near, err := p.dial()
	must(t, err)
	eventually(t, "the connection waits", func() bool { return countConns() == 2 })
	must(t, p.listener.Close())
	if _, err := near.readAll(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the dropped connection saw %v, not a reset", err)
	}
	near.close()
	eventually(t, "no connection is remembered", func() bool { return countConns() == 0 })
}

func countConns() int {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	return len(conns.m)
}

// A shutdown of one direction is no reason to end the other; a close after it is.
func TestCloseAfterShutdownIsNoticed(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	must(t, near.closeWrite())
	if b, err := far.readAll(); len(b) != 0 || err != nil {
		t.Fatalf("the other side saw %q, %v", b, err)
	}
	_, err := far.Write([]byte("answer"))
	must(t, err)
	buf := make([]byte, 6)
	_, err = io.ReadFull(near, buf)
	must(t, err)
	near.close()
	eventually(t, "only the far side is remembered", func() bool { return countConns() == 1 })
	far.close()
}

func TestAbortByIDReachesBothSides(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	Abort(far.conn.ID)
	for name, e := range map[string]end{"near": near, "far": far} {
		if _, err := e.readAll(); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("the %s side saw %v, not a reset", name, err)
		}
		if _, err := e.Write([]byte("x")); err == nil {
			t.Errorf("the %s side can still write", name)
		}
	}
}

func TestReleaseForgetsTheID(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	far.abort()
	eventually(t, "the id is forgotten", func() bool { return find(far.conn.ID) == nil })
	Abort(far.conn.ID)
	Release(far.conn.ID, true)
	if WasReset(far.conn.ID) || Claim(far.conn.ID) != nil {
		t.Error("a released id still means something")
	}
	near.close()
}

func TestCloseResetsConnections(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	must(t, p.server.Close())
	for name, e := range map[string]end{"near": near, "far": far} {
		if _, err := e.readAll(); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("the %s side saw %v, not a reset", name, err)
		}
		e.close()
	}
	if _, err := acceptFrom(p.listener); !errors.Is(err, io.EOF) {
		t.Errorf("the listener of a closed node: %v", err)
	}
	if err := p.server.Close(); KindOf(err) != KindClosed {
		t.Errorf("a second close: %v", err)
	}
	if _, err := p.server.CheckAccess(far.conn.Remote.Addr(), far.conn.Local); KindOf(err) != KindClosed {
		t.Errorf("a question to a closed node: %v", err)
	}
}

// What was written and closed before the node is closed still arrives.
func TestCloseDeliversWhatIsFinished(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	must(t, near.closeWrite())
	_, err := far.readAll()
	must(t, err)
	content := bytes.Repeat([]byte("last words "), 10_000)
	go func() {
		far.Write(content)
		far.close()
		p.server.Close()
	}()
	b, err := near.readAll()
	if err != nil || !bytes.Equal(b, content) {
		t.Errorf("%d bytes of %d arrived, %v", len(b), len(content), err)
	}
	near.close()
}

func TestListenAgain(t *testing.T) {
	p := newPair(t)
	if _, err := p.server.Listen("tcp", ":4711"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second listener: %v", err)
	}
	must(t, p.listener.Close())
	fd, err := p.server.Listen("tcp", ":4711") // at once
	must(t, err)
	p.listener = os.NewFile(uintptr(fd), "listener")
	near, far := p.connect()
	near.close()
	far.close()
	for _, bad := range []string{"", "4711", ":0", ":70000", "name:80", "1.2.3:80"} {
		if _, err := p.server.Listen("tcp", bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := p.server.Listen("udp", ":1"); err == nil {
		t.Error("udp was accepted")
	}
}

// Further connections than may wait are reset, and the others still come.
func TestFullBacklog(t *testing.T) {
	p := newPair(t)
	raiseFileLimit(t)
	var waiting []end
	for range backlog {
		near, err := p.dial()
		must(t, err)
		waiting = append(waiting, near)
	}
	eventually(t, "the backlog is full", func() bool { return p.server.listeners.find(waiting[0].conn.Remote).full() })
	if near, err := p.dial(); err == nil {
		near.close()
		t.Error("one more than the backlog was let in")
	}
	for _, near := range waiting {
		far := p.accept()
		near.close()
		far.close()
	}
	near, far := p.connect()
	near.close()
	far.close()
}
