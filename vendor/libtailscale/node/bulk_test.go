package node

import (
	"crypto/sha256"
	"flag"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

// bulk is the amount of data; the race detector multiplies the time.
var bulk = flag.Int64("bulk", bulkBytes, "bytes to send each way, for example 1073741824")

// Both directions transfer at the same time, in chunks of any size, whichever side ends
// first. One direction continues after the other has ended.
func TestBothDirectionsArriveWhole(t *testing.T) {
	p := newPair(t)
	for _, nearEndsFirst := range []bool{true, false} {
		near, far := p.connect()
		first, second := end(near), end(far)
		if !nearEndsFirst {
			first, second = second, first
		}
		var all sync.WaitGroup
		var sent, received [2][sha256.Size]byte
		firstEnded := make(chan struct{})
		all.Go(func() { sent[0] = send(t, first, 1, nil) })
		all.Go(func() {
			received[0] = receive(t, second)
			close(firstEnded)
		})
		all.Go(func() { sent[1] = send(t, second, 2, firstEnded) })
		all.Go(func() { received[1] = receive(t, first) })
		all.Wait()
		if sent != received {
			t.Errorf("sent %x, received %x", sent, received)
		}
		t.Logf("%d bytes each way: %x", *bulk, received)
		near.close()
		far.close()
	}
}

// send writes bulk bytes, the last mebibyte after the channel is closed, and ends the
// direction. It returns their digest.
func send(t *testing.T, e end, seed byte, lastAfter <-chan struct{}) (digest [sha256.Size]byte) {
	h, content, sizes := sha256.New(), rand.NewChaCha8([32]byte{seed}), rand.New(rand.NewPCG(uint64(seed), 7))
	buf := make([]byte, 256<<10)
	for left := *bulk; left > 0; {
		if left <= 1<<20 && lastAfter != nil {
			<-lastAfter
		}
		chunk := buf[:min(left, 1+sizes.Int64N(int64(len(buf))))]
		content.Read(chunk)
		h.Write(chunk)
		if _, err := e.Write(chunk); err != nil {
			t.Errorf("write with %d bytes left: %v", left, err)
			return digest
		}
		left -= int64(len(chunk))
	}
	if err := e.closeWrite(); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	h.Sum(digest[:0])
	return digest
}

func receive(t *testing.T, e end) (digest [sha256.Size]byte) {
	h := sha256.New()
	n, err := io.Copy(h, e)
	if err != nil || n != *bulk {
		t.Errorf("received %d bytes, want %d: %v", n, *bulk, err)
	}
	h.Sum(digest[:0])
	return digest
}
