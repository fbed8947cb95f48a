package node

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Bytes go past the descriptor or through it, as there is room, and arrive as
// they were written.
func TestDirectWritesOvertakeNothing(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()

	const total = 8 << 20
	want := make([]byte, total)
	for i := range want {
		want[i] = byte(i ^ i>>8 ^ i>>16)
	}
	written := make(chan [2]int, 1)
	go func() {
		var direct, streamed int
		for rest := want; len(rest) > 0; {
			chunk := rest[:min(len(rest), 3000+len(rest)%5000)]
			half := len(chunk) / 2
			n := WriteDirect(far.conn.ID, [][]byte{chunk[:half], chunk[half:]}, uint64(streamed))
			direct += n
			if n == 0 {
				var err error
				if n, err = far.Write(chunk); err != nil {
					t.Error(err)
					break
				}
				streamed += n
			}
			rest = rest[n:]
		}
		far.closeWrite()
		written <- [2]int{direct, streamed}
	}()
	got, err := near.readAll()
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, not as the %d were written", len(got), total)
	}
	ways := <-written
	t.Logf("%d bytes at once, %d through the descriptor", ways[0], ways[1])
	if ways[0] == 0 || ways[1] == 0 {
		t.Errorf("only one way was taken: %v", ways)
	}
}

// What nobody reads is taken only as far as there is room, and then nothing.
func TestDirectWritesEnd(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	chunk := [][]byte{make([]byte, 4<<10)}
	taken := 0
	// The peer takes some time to take all that it will.
	for full := time.Now(); time.Since(full) < time.Second; {
		if n := WriteDirect(far.conn.ID, chunk, 0); n > 0 {
			taken, full = taken+n, time.Now()
		}
		time.Sleep(time.Millisecond)
	}
	if limit := 1536 << 10; taken == 0 || taken > limit {
		t.Errorf("%d bytes that nobody reads were taken, at most %d are meant to be", taken, limit)
	}

	far.conn.Abort()
	if n := WriteDirect(far.conn.ID, chunk, 0); n != 0 {
		t.Errorf("a broken connection took %d bytes", n)
	}
	if _, err := far.Write(chunk[0]); err == nil {
		t.Error("the descriptor of a broken connection took bytes")
	}
	if _, err := near.readAll(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("what was cut short reads as whole: %v", err)
	}
	far.close()
	if n := WriteDirect(far.conn.ID, chunk, 0); n != 0 {
		t.Errorf("a connection that was let go of took %d bytes", n)
	}
}

// Nothing is handed over to a node whose packets pile up.
func TestDirectWritesNeedAFreeWay(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	chunk := [][]byte{{1}}
	free := far.conn.outgoing
	full := make(chan *stack.PacketBuffer, 4)
	for range 3 {
		full <- nil
	}
	far.conn.outgoing = full
	if n := WriteDirect(far.conn.ID, chunk, 0); n != 0 {
		t.Errorf("%d bytes were taken though more than half of the queue is full", n)
	}
	<-full
	if n := WriteDirect(far.conn.ID, chunk, 0); n != 1 {
		t.Errorf("%d bytes were taken though half of the queue is free", n)
	}
	far.conn.outgoing = free
	if n := WriteDirect(far.conn.ID, [][]byte{make([]byte, directMost), {1}}, 0); n != 0 {
		t.Errorf("%d bytes were taken at once", n)
	}
}

// Whoever has found nothing is woken by the next byte, by the end and by a reset, and
// never after it has let go.
func TestDirectReadsAreWoken(t *testing.T) {
	p := newPair(t)
	for _, c := range []struct {
		what string
		do   func(near end)
		none Read
	}{
		{"a byte", func(near end) { near.Write([]byte{1}) }, ReadNothing},
		{"the end", func(near end) { must(t, near.closeWrite()) }, ReadEnd},
		{"a reset", func(near end) { near.abort() }, ReadReset},
	} {
		near, far := p.connect()
		buf := make([]byte, 8)
		if n, _, none := ReadDirect(far.conn.ID, buf); n != 0 || none != ReadNothing {
			t.Fatalf("before %s: %d bytes, %v", c.what, n, none)
		}
		for range len(far.ready) {
			<-far.ready
		}
		c.do(near)
		<-far.ready
		eventually(t, c.what, func() bool {
			n, _, none := ReadDirect(far.conn.ID, buf)
			return n == 1 && c.none == ReadNothing || n == 0 && none == c.none && none != ReadNothing
		})
		far.close()
		near.close()
		for range len(far.ready) {
			<-far.ready
		}
		far.conn.reader.hungry.Store(true)
		if far.conn.reader.notify(); len(far.ready) != 0 {
			t.Errorf("woken by %s after it had let go", c.what)
		}
	}
}

// A read may confirm what it took, which must not wait either. It is a goroutine that
// does, and what it has read is there even though the way never gets free.
func TestDirectReadsGoOnWhereTheWayIsNotFree(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	full := make(chan *stack.PacketBuffer, 1)
	full <- nil
	far.conn.outgoing = full
	var whole []byte
	buf := make([]byte, 3)
	for range 50 {
		_, err := near.Write([]byte("some more "))
		must(t, err)
		n, _, none := ReadDirect(far.conn.ID, buf)
		if whole = append(whole, buf[:n]...); none != ReadNothing {
			t.Fatalf("after %q: %v", whole, none)
		}
	}
	must(t, near.closeWrite())
	rest, err := far.readAll()
	if whole = append(whole, rest...); err != nil || string(whole) != strings.Repeat("some more ", 50) {
		t.Errorf("%q, %v", whole, err)
	}
}

// A reset reaches a reader there too.
func TestResetWhereTheWayIsNotFree(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	full := make(chan *stack.PacketBuffer, 1)
	full <- nil
	far.conn.outgoing = full
	near.abort()
	if _, err := far.readAll(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the other side saw %v, not a reset", err)
	}
	far.close()
}
