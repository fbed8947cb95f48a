package node

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// The Go runtime shares the process with the host program's heap, and a node moves
// data rather than keeping it. By default Go lets transfers and many connections
// double its heap, collects up to two minutes after they end, and returns freed memory
// slowly, which looks like a leak. So the node sets a soft limit, beyond which Go
// collects continuously with up to half of the cores. The limit must leave room for
// what the connections may hold, so it grows with their number and with the number of
// peers in the netmap. When most of many connections have closed, the node returns
// freed memory at once.
const (
	// Bytes for minCapacity connections, half of buffersTotal and WireGuard's pool of
	// packets, which a fast upload fills; an idle node uses a quarter.
	memoryBase    = 128 << 20
	memoryPerConn = 3 << 18  // bytes, for twice bufferFloor and the buffers of pump
	memoryPerPeer = 24 << 10 // bytes, for a peer of the netmap and its copy in a list

	minCapacity     = 16              // connections
	scavengeMinimum = 64              // connections; after fewer, a collection is not worth its cost
	teardownTime    = 2 * time.Second // until closed connections are garbage
)

var connCapacity = capacity{
	conns:    minCapacity,
	resize:   func(conns int) { memory.setCapacity(conns) },
	scavenge: func() { time.AfterFunc(teardownTime, debug.FreeOSMemory) },
}

// A capacity is the number of connections for which the memory limit has room. It is
// guarded by conns.mu.
type capacity struct {
	conns    int // minCapacity times a power of two
	resize   func(conns int)
	scavenge func()
}

// grow adapts the capacity to a risen number of open connections.
func (c *capacity) grow(open int) {
	if open <= c.conns {
		return
	}
	for c.conns < open {
		c.conns *= 2
	}
	c.resize(c.conns)
}

// shrink adapts the capacity to a fallen number of open connections, once it is at most
// a quarter of it.
func (c *capacity) shrink(open int) {
	if c.conns == minCapacity || open > c.conns/4 {
		return
	}
	if c.conns >= scavengeMinimum {
		c.scavenge()
	}
	for c.conns > minCapacity && open <= c.conns/2 {
		c.conns /= 2
	}
	c.resize(c.conns)
}

// A large transfer also leaves freed memory behind, which Go would keep for minutes.
const (
	transferMinimum = 64 << 20 // bytes; after fewer, a collection is not worth its cost
	transferIdle    = 1 << 20  // bytes within teardownTime; fewer mean that the transfers have ended
)

var transfers struct {
	bytes    atomic.Int64 // since the last scavenge
	watching atomic.Bool
}

// countTransferred counts n bytes of a connection and what its buffers have grown to. It
// starts scavengeAfterTransfers once there are enough.
func (c *Conn) countTransferred(n int) {
	c.countBuffers()
	if transfers.bytes.Add(int64(n)) > transferMinimum && transfers.watching.CompareAndSwap(false, true) {
		go scavengeAfterTransfers()
	}
}

// scavengeAfterTransfers waits until transfers are idle and returns freed memory.
func scavengeAfterTransfers() {
	tick := time.NewTicker(teardownTime)
	defer tick.Stop()
	for before := int64(0); transfers.bytes.Load()-before > transferIdle; <-tick.C {
		before = transfers.bytes.Load()
	}
	runtime.GC() // a sync.Pool, such as WireGuard's of packets, keeps its content for one collection
	debug.FreeOSMemory()
	transfers.bytes.Store(0)
	transfers.watching.Store(false)
}

// memory is the soft limit of the Go runtime.
var memory memoryLimit

type memoryLimit struct {
	conns atomic.Int64 // capacity
	peers atomic.Int64 // in the netmap
	grown atomic.Int64 // bytes; see setGrown
	mu    sync.Mutex   // orders updates: the last one sets the latest values
}

// setPeers adapts the limit to the number of peers in the netmap.
func (l *memoryLimit) setPeers(peers int) {
	if l.peers.Swap(int64(peers)) != int64(peers) {
		l.update()
	}
}

// setGrown adapts the limit to buffers that have grown by this many bytes beyond half of
// buffersTotal. With room for all of it from the start, garbage would take it.
func (l *memoryLimit) setGrown(bytes int64) {
	if l.grown.Swap(bytes) != bytes {
		l.update()
	}
}

// setCapacity adapts the limit to a number of connections.
func (l *memoryLimit) setCapacity(conns int) {
	l.conns.Store(int64(conns))
	l.update()
}

// update sets the limit in a goroutine, since that may wait for a collection.
func (l *memoryLimit) update() {
	go func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		debug.SetMemoryLimit(memoryBase + (l.conns.Load()-minCapacity)*memoryPerConn + l.peers.Load()*memoryPerPeer + l.grown.Load())
	}()
}
