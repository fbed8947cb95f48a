package node

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	gwaiter "gvisor.dev/gvisor/pkg/waiter"
)

// Data alternates between netstack and the descriptor and arrives in order.
func TestDirectAndStreamedWritesKeepTheirOrder(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()

	const total = 8 << 20
	want := make([]byte, total)
	for i := range want {
		want[i] = byte(i ^ i>>8 ^ i>>16)
	}
	type written struct{ direct, streamed int }
	done := make(chan written, 1)
	go func() {
		var w written
		for rest := want; len(rest) > 0; {
			chunk := rest[:min(len(rest), 3000+len(rest)%5000)]
			half := len(chunk) / 2
			n := TryWrite(far.conn.ID, [][]byte{chunk[:half], chunk[half:]}, uint64(w.streamed))
			w.direct += n
			if n == 0 {
				if err := far.open(); err != nil {
					t.Error(err)
					break
				}
				var err error
				if n, err = far.file.Write(chunk); err != nil {
					t.Error(err)
					break
				}
				w.streamed += n
			}
			rest = rest[n:]
		}
		far.closeWrite()
		done <- w
	}()
	got, err := near.readAll()
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d arrived, or in another order", len(got), total)
	}
	w := <-done
	t.Logf("%d bytes directly, %d through the descriptor", w.direct, w.streamed)
	if w.direct == 0 || w.streamed == 0 {
		t.Errorf("only one way was used: %+v", w)
	}
}

// fill writes until netstack and the peer take no more for a second.
func fill(far hostEnd, chunk [][]byte) (taken int) {
	entry, writable := gwaiter.NewChannelEntry(gwaiter.WritableEvents)
	queueOf(far.conn.net).EventRegister(&entry)
	defer queueOf(far.conn.net).EventUnregister(&entry)
	for {
		if n := TryWrite(far.conn.ID, chunk, far.streamed); n > 0 {
			taken += n
			continue
		}
		select {
		case <-writable:
		case <-time.After(time.Second):
			return taken
		}
	}
}

func TestTryWriteIsBoundedWhenThePeerDoesNotRead(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	taken := fill(far, [][]byte{make([]byte, 4<<10)})
	if limit := 1536 << 10; taken == 0 || taken > limit {
		t.Errorf("took %d bytes, want 1 to %d", taken, limit)
	}
}

func TestTryWriteTakesNothingAfterAReset(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	chunk := [][]byte{make([]byte, 4<<10)}
	fill(far, chunk)
	must(t, far.open())

	far.conn.Abort()
	if n := TryWrite(far.conn.ID, chunk, 0); n != 0 {
		t.Errorf("a reset connection took %d bytes", n)
	}
	if _, err := far.file.Write(chunk[0]); err == nil {
		t.Error("the descriptor of a reset connection took data")
	}
	if _, err := near.readAll(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a truncated stream reads as complete: %v", err)
	}
	far.close()
	if n := TryWrite(far.conn.ID, chunk, 0); n != 0 {
		t.Errorf("a released connection took %d bytes", n)
	}
}

func TestTryWriteTakesNothingUnderBackpressure(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	chunk := [][]byte{{1}}
	real := far.conn.outgoing
	queue := make(chan *stack.PacketBuffer, 4)
	for range 3 {
		queue <- nil
	}
	far.conn.outgoing = queue
	if n := TryWrite(far.conn.ID, chunk, 0); n != 0 {
		t.Errorf("took %d bytes with more than half of the queue full", n)
	}
	<-queue
	if n := TryWrite(far.conn.ID, chunk, 0); n != 1 {
		t.Errorf("took %d bytes with half of the queue free", n)
	}
	far.conn.outgoing = real
	if n := TryWrite(far.conn.ID, [][]byte{make([]byte, directMax), {1}}, 0); n != 0 {
		t.Errorf("took %d bytes of a write that is too large", n)
	}
}

func TestPartsReaderReadsAcrossParts(t *testing.T) {
	r := &partsReader{parts: [][]byte{[]byte("ab"), nil, []byte("cde")}}
	var got bytes.Buffer
	buf := make([]byte, 2)
	for r.Len() > 0 {
		n, err := r.Read(buf)
		must(t, err)
		got.Write(buf[:n])
	}
	if got.String() != "abcde" {
		t.Errorf("read %q", got.String())
	}
	var _ tcpip.Payloader = r
}
