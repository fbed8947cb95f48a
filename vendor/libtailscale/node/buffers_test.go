package node

import (
	"io"
	"sync"
	"testing"
	"time"

	gwaiter "gvisor.dev/gvisor/pkg/waiter"
)

func TestAllConnectionsShareTheBudgetOfBuffers(t *testing.T) {
	maximum := int64(0)
	b := &bufferBudget{total: buffersTotal, setMaximum: func(bytes int64) { maximum = bytes }}
	b.add(0)
	if maximum != bufferCeiling {
		t.Fatalf("alone a buffer may take %d bytes", maximum)
	}
	const buffers = 2000
	grown, least := [buffers]int64{}, maximum
	for i := range grown { // as far as it may
		grown[i] = maximum - bufferFloor
		b.add(grown[i])
		if b.grown > b.total {
			t.Fatalf("%d buffers have grown by %d bytes", i+1, b.grown)
		}
		least = min(least, maximum)
	}
	if least != bufferFloor {
		t.Errorf("with %d buffers each may take %d bytes", buffers, least)
	}
	for _, bytes := range grown {
		b.add(-bytes)
	}
	if maximum != bufferCeiling || b.grown != 0 {
		t.Errorf("after all are closed a buffer may take %d bytes", maximum)
	}
}

// move sends this many bytes from one end to the other.
func move(t *testing.T, from, to end, bytes int64) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(make([]byte, bytes))
		sent <- err
	}()
	_, err := io.CopyN(io.Discard, to, bytes)
	must(t, err)
	must(t, <-sent)
}

func TestBuffersGrowWithTransfers(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	sizes := far.conn.endpoint.SocketOptions()
	for _, way := range []struct {
		name     string
		from, to end
		size     func() int64
	}{{"send", far, near, sizes.GetSendBufferSize}, {"receive", near, far, sizes.GetReceiveBufferSize}} {
		if size := way.size(); size > bufferFloor {
			t.Errorf("the %s buffer begins with %d bytes", way.name, size)
		}
		eventually(t, "the "+way.name+" buffer has grown", func() bool {
			move(t, way.from, way.to, 1<<20)
			return way.size() > bufferFloor
		})
	}
}

func TestClosedConnectionsGiveTheirBuffersBack(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	eventually(t, "a buffer has grown", func() bool {
		move(t, far, near, 1<<20)
		return p.grown() > 0
	})
	near.close()
	far.close()
	eventually(t, "no buffer counts as grown", func() bool { return p.grown() == 0 })
}

// grown returns by how much buffers of the server have grown.
func (p *pair) grown() int64 {
	b := p.server.buffers.Load()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.grown
}

func TestStalledReadersStayWithinTheBudgetOfBuffers(t *testing.T) {
	p := newPair(t)
	const total = 8 << 20
	b := p.server.buffers.Load()
	b.mu.Lock()
	b.total = total
	b.mu.Unlock()
	b.add(0)
	const stalled = 16
	var all sync.WaitGroup
	for range stalled {
		near, far := p.connect()
		move(t, far, near, 2<<20) // it reads fast at first
		all.Go(func() { fill(far, [][]byte{make([]byte, 4<<10)}) })
		defer near.abort()
		defer far.abort()
	}
	all.Wait()
	if bytes := p.grown(); bytes == 0 || bytes > total {
		t.Errorf("buffers have grown by %d bytes of %d", bytes, total)
	}
}

func TestWriterContinuesAfterTheMaximumHasFallen(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	eventually(t, "the send buffer has grown", func() bool {
		move(t, far, near, 1<<20)
		return far.conn.endpoint.SocketOptions().GetSendBufferSize() > 4*bufferFloor
	})
	taken := fill(far, [][]byte{make([]byte, 4<<10)}) // the buffer is full
	b := p.server.buffers.Load()
	b.add(b.total)
	defer b.add(-b.total)

	const more = 2 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := far.Write(make([]byte, more))
		sent <- err
	}()
	must(t, near.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err := io.CopyN(io.Discard, near, int64(taken+more))
	must(t, err)
	must(t, <-sent)
}

// Netstack itself may not wake it: all may be acknowledged before the buffer shrinks.
func TestLowerMaximumWakesWriters(t *testing.T) {
	p := newPair(t)
	near, far := p.connect()
	defer near.close()
	defer far.close()
	entry, woken := gwaiter.NewChannelEntry(gwaiter.WritableEvents)
	queueOf(far.conn.net).EventRegister(&entry)
	defer queueOf(far.conn.net).EventUnregister(&entry)
	b := p.server.buffers.Load()
	b.add(b.total)
	defer b.add(-b.total)
	select {
	case <-woken:
	case <-time.After(time.Minute):
		t.Error("the maximum has fallen, and no writer is woken")
	}
}
