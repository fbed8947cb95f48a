package node

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// However much goes out at once, the thread that hands it over is not held up in
// netstack's queue of packets.
func TestDirectWritesDoNotWaitForWireGuard(t *testing.T) {
	p := newPair(t)
	const connections, threads = 96, 2
	var ends [connections]end
	for i := range ends {
		near, far := p.connect()
		defer near.close()
		defer far.close()
		go io.Copy(io.Discard, near)
		ends[i] = far
	}
	runtime.SetBlockProfileRate(1)
	defer runtime.SetBlockProfileRate(0)
	chunk := [][]byte{make([]byte, 4<<10)}
	var taken atomic.Int64
	var all sync.WaitGroup
	for first := range threads {
		all.Go(func() {
			for range 2000 {
				for i := first; i < connections; i += threads {
					taken.Add(int64(WriteDirect(ends[i].conn.ID, chunk, 0)))
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	all.Wait()
	t.Logf("%d MB taken", taken.Load()>>20)
	var waits bytes.Buffer
	must(t, pprof.Lookup("block").WriteTo(&waits, 1))
	for stack := range strings.SplitSeq(waits.String(), "\n\n") {
		if strings.Contains(stack, "node.WriteDirect") && strings.Contains(stack, "netstack.(*queue)") {
			t.Errorf("a direct write waited:\n%s", stack)
		}
	}
}
