package node

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// drainReady discards notifications.
func drainReady(e hostEnd) {
	for range len(e.ready) {
		<-e.ready
	}
}

func TestReaderIsNotifiedOfDataEndAndReset(t *testing.T) {
	p := newPair(t)
	for _, c := range []struct {
		what   string
		do     func(near *peerEnd)
		status ReadStatus
	}{
		{"a byte", func(near *peerEnd) { near.Write([]byte{1}) }, ReadOK},
		{"the end", func(near *peerEnd) { must(t, near.closeWrite()) }, ReadEOF},
		{"a reset", func(near *peerEnd) { near.abort() }, ReadReset},
	} {
		near, far := p.connect()
		buf := make([]byte, 8)
		if result := TryRead(far.conn.ID, buf); result.Status != ReadWouldBlock {
			t.Fatalf("before %s: %+v", c.what, result)
		}
		drainReady(far)
		c.do(near)
		result := ReadResult{Status: ReadWouldBlock}
		for result.Status == ReadWouldBlock { // a notification may be spurious
			<-far.ready
			result = TryRead(far.conn.ID, buf)
		}
		if result.Status != c.status {
			t.Errorf("after %s: %+v", c.what, result)
		}
		far.close()
		near.close()
	}
}

func TestReaderIsNotNotifiedAfterRelease(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	far.close()
	drainReady(far)
	far.conn.reader.armed.Store(true)
	if far.conn.reader.notify(); len(far.ready) != 0 {
		t.Error("notified after the release")
	}
}

// fullQueue makes a connection see permanent backpressure.
func fullQueue(c *Conn) {
	queue := make(chan *stack.PacketBuffer, 1)
	queue <- nil
	c.outgoing = queue
}

// Under backpressure a goroutine does each read, and its data arrives although the
// backpressure lasts.
func TestReadsContinueUnderBackpressure(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	fullQueue(far.conn)
	var whole []byte
	buf := make([]byte, 3)
	for range 50 {
		_, err := near.Write([]byte("some more "))
		must(t, err)
		result := TryRead(far.conn.ID, buf)
		whole = append(whole, buf[:result.N]...)
		if result.Status != ReadOK && result.Status != ReadWouldBlock {
			t.Fatalf("after %q: %+v", whole, result)
		}
	}
	must(t, near.closeWrite())
	rest, err := far.readAll()
	if whole = append(whole, rest...); err != nil || string(whole) != strings.Repeat("some more ", 50) {
		t.Errorf("%q, %v", whole, err)
	}
}

func TestResetReachesTheReaderUnderBackpressure(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	fullQueue(far.conn)
	near.abort()
	if _, err := far.readAll(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the reader saw %v, not a reset", err)
	}
	far.close()
}
