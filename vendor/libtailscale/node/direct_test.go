package node

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

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
