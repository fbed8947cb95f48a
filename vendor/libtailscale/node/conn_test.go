package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
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
	who, err := p.server.WhoIs(deadline(t), far.conn.Remote)
	must(t, err)
	if who.StableID != id.StableID {
		t.Errorf("whois says %+v", who)
	}
	ok, err := p.server.CheckAccess(far.conn.Remote.Addr(), far.conn.Local)
	if !ok || err != nil {
		t.Errorf("access %v, %v", ok, err)
	}
}

// Bytes arrive whole in both directions at once, in chunks of any size, with
// either side ending first.
func TestBothDirectionsArriveWhole(t *testing.T) {
	p := newPair(t)
	for _, nearEndsFirst := range []bool{true, false} {
		near, far := p.connect()
		first, second := near, far
		if !nearEndsFirst {
			first, second = far, near
		}
		var both sync.WaitGroup
		firstSent := make(chan struct{})
		both.Go(func() {
			send(t, first, 8<<20, 1)
			close(firstSent)
		})
		both.Go(func() {
			receive(t, second, 8<<20, 1)
			<-firstSent
			send(t, second, 8<<20, 2) // still open after the other direction has ended
		})
		both.Go(func() { receive(t, first, 8<<20, 2) })
		both.Wait()
		near.close()
		far.close()
	}
}

func content(size int, seed uint64) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

func send(t *testing.T, e end, size int, seed uint64) {
	b := content(size, seed)
	r := rand.New(rand.NewPCG(seed, 7))
	for len(b) > 0 {
		n, err := e.Write(b[:min(len(b), 1+r.IntN(200_000))])
		if err != nil {
			t.Errorf("write: %v", err)
			return
		}
		b = b[n:]
	}
	if err := e.closeWrite(); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func receive(t *testing.T, e end, size int, seed uint64) {
	h := sha256.New()
	n, err := io.Copy(h, e)
	want := sha256.Sum256(content(size, seed))
	if err != nil || n != int64(size) || !bytes.Equal(h.Sum(nil), want[:]) {
		t.Errorf("received %d bytes of %d, error %v, digest differs: %v", n, size, err, !bytes.Equal(h.Sum(nil), want[:]))
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

// Connections wait in the poller, not in threads.
func TestOpenConnectionsAddNoThreads(t *testing.T) {
	p := newPair(t)
	const count = 2000
	raiseFileLimit(t)
	before := pprof.Lookup("threadcreate").Count()
	var ends []end
	for range count {
		near, far := p.connect()
		ends = append(ends, near, far)
	}
	// Whatever the number of connections, the runtime itself may start a few.
	if added := pprof.Lookup("threadcreate").Count() - before; added > 8 {
		t.Errorf("%d connections added %d threads", count, added)
	}
	for _, e := range ends {
		e.close()
	}
}

func TestClosedConnectionsLeaveNothing(t *testing.T) {
	p := newPair(t)
	churn := func(count int) {
		for i := range count {
			near, far := p.connect()
			switch i % 4 {
			case 0:
				near.abort()
			case 1:
				far.abort()
				far = end{}
			case 2:
				near.closeWrite()
			}
			if i%4 != 0 {
				near.close()
			}
			if far.File != nil {
				far.close()
			}
		}
		eventually(t, "no connection is remembered", func() bool { return countConns() == 0 })
	}
	churn(200)
	fds, goroutines, heap := openFiles(t), runtime.NumGoroutine(), heapInUse()
	churn(10_000)
	eventually(t, "no more descriptors or goroutines than before", func() bool {
		return openFiles(t) <= fds && runtime.NumGoroutine() <= goroutines
	})
	if grown := heapInUse() - heap; grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	must(t, err)
	return len(entries)
}

func raiseFileLimit(t *testing.T) {
	t.Helper()
	var lim unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
	lim.Cur = min(lim.Max, 10240) // macOS refuses more than OPEN_MAX
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &lim))
}
