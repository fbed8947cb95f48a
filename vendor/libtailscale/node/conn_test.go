package node

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestIdentityComesWithTheConnection(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	id := far.conn.peer
	if id.Node != "client.tailnet.test" || id.User == "" || len(id.Tags) != 0 || id.StableID == "" {
		t.Errorf("identity %+v", id)
	}
	if far.conn.Remote.Addr() != p.client.Addresses()[0] || far.conn.Local.String() != p.addr {
		t.Errorf("addresses %v, %v", far.conn.Remote, far.conn.Local)
	}
	ok, err := p.server.CheckAccess(far.conn.Remote.Addr(), far.conn.Local)
	if !ok || err != nil {
		t.Errorf("access %v, %v", ok, err)
	}
}

func TestAbortOfThePeerIsAReset(t *testing.T) {
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

func TestClosedPeerIsDetectedBehindUnreadData(t *testing.T) {
	p := newPair(t)
	for _, closePeer := range []func(end){end.close, end.abort, func(e end) { must(t, e.closeWrite()) }} {
		near, far := p.connect()
		_, err := near.Write([]byte("unread"))
		must(t, err)
		eventually(t, "the data has arrived", far.conn.readable)
		if PeerClosed(far.conn.ID) {
			t.Error("an open peer is reported as closed")
		}
		closePeer(near)
		eventually(t, "the peer is reported as closed", func() bool { return PeerClosed(far.conn.ID) })
		far.close()
		near.close() // harmless if repeated
	}
}

func TestCloseIsNoReset(t *testing.T) {
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

func TestReleaseWithUnreadDataResetsTheWriter(t *testing.T) {
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

func TestClosedListenerResetsItsPendingConnections(t *testing.T) {
	p := newPair(t)
	near, err := p.dial()
	must(t, err)
	eventually(t, "the connection is pending", func() bool { return countConns() == 1 })
	must(t, p.listener.Close())
	if _, err := near.readAll(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the peer saw %v, not a reset", err)
	}
	near.close()
	eventually(t, "no connection remains", func() bool { return countConns() == 0 })
}

func countConns() int {
	conns.mu.Lock()
	defer conns.mu.Unlock()
	return len(conns.m)
}

// A half-close does not end the other direction; a close after it does.
func TestCloseAfterHalfCloseEndsTheConnection(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	must(t, far.closeWrite())
	if b, err := near.readAll(); len(b) != 0 || err != nil {
		t.Fatalf("the peer saw %q, %v", b, err)
	}
	_, err := near.Write([]byte("answer"))
	must(t, err)
	buf := make([]byte, 6)
	_, err = io.ReadFull(far, buf)
	must(t, err)
	far.close()
	if _, err := near.readAll(); err != nil {
		t.Errorf("the peer saw %v", err)
	}
	near.close()
	eventually(t, "no connection remains", func() bool { return countConns() == 0 })
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

func TestReleasedIDIsUnknown(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	far.abort()
	eventually(t, "the id is unknown", func() bool { return lookup(far.conn.ID) == nil })
	Abort(far.conn.ID)
	Release(far.conn.ID, true)
	if Claim(far.conn.ID) != nil {
		t.Error("a released id was claimed")
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
		t.Errorf("access check of a closed node: %v", err)
	}
}

func TestCloseDeliversTheDataOfClosedConnections(t *testing.T) {
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

func TestPortHasOneListenerAtATime(t *testing.T) {
	p := newPair(t)
	if _, err := p.server.Listen(testPort); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second listener: %v", err)
	}
	must(t, p.listener.Close())
	p.listener = listen(t, p.server) // at once
	near, far := p.connect()
	near.close()
	far.close()
}

// A connection beyond the backlog is reset, and the pending ones are still accepted.
func TestFullBacklog(t *testing.T) {
	p := newPair(t)
	raiseFileLimit(t)
	var pending []*peerEnd
	for range backlog {
		near, err := p.dial()
		must(t, err)
		pending = append(pending, near)
	}
	eventually(t, "the backlog is full", func() bool { return p.server.listeners.find(testPort).full() })
	if near, err := p.dial(); err == nil {
		near.close()
		t.Error("a connection beyond the backlog was accepted")
	}
	for _, near := range pending {
		far := p.accept()
		near.close()
		far.close()
	}
	eventually(t, "the listener accepts again", func() bool { return !p.server.listeners.find(testPort).full() })
	near, far := p.connect()
	near.close()
	far.close()
}

// A child process of the host program must not inherit the node's descriptors.
func TestDescriptorsAreCloseOnExecAndNonblocking(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	for name, open := range map[string]func() (int, error){
		"events":     p.server.Events,
		"up":         func() (int, error) { return p.server.BeginUp(time.Minute) },
		"listener":   func() (int, error) { return p.server.Listen(testPort + 1) },
		"connection": func() (int, error) { return Descriptor(far.conn.ID) },
	} {
		fd, err := open()
		must(t, err)
		defer unix.Close(fd)
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: not close-on-exec: %v", name, err)
		}
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("%s: blocking: %v", name, err)
		}
	}
	if _, err := Descriptor(far.conn.ID); err == nil {
		t.Error("a connection has two descriptors")
	}
}
