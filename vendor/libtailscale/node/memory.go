package node

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// The Go half lives beside the host program's own heap, and a node moves bytes
// rather than keeping them. Left alone, Go lets a transfer or a crowd of
// connections double the heap, collects two minutes after they have left at the
// latest, and returns what it has collected bit by bit, which reads like a leak.
// So there is a limit for it, past which it collects without pause, with half of
// the machine's cores. What connections may hold must therefore have room below:
// the limit follows how many there are, and how many peers the netmap has, and once
// most of a crowd have left, all that they held is given back at once.
const (
	memoryBase    = 96 << 20        // bytes, for a few connections; an idle node takes a third
	memoryPerConn = 3 << 19         // bytes, for what boundBuffers lets a connection hold, and its pumps
	memoryPerPeer = 24 << 10        // bytes, for what a peer of the netmap takes, twice over while it is listed
	few           = 16              // connections
	crowded       = 64              // connections; what fewer leave behind is not worth a collection
	dispersal     = 2 * time.Second // the last of a crowd are still being torn down until then
)

var crowd = gathering{
	room:  few,
	adapt: func(room int) { memory.follow(room) },
	tidy:  func() { time.AfterFunc(dispersal, debug.FreeOSMemory) },
}

// gathering remembers for how many connections there is room. Guarded by conns.mu.
type gathering struct {
	room  int // few, doubled as often as needed
	adapt func(room int)
	tidy  func()
}

func (g *gathering) grew(now int) {
	if now <= g.room {
		return
	}
	for g.room < now {
		g.room *= 2
	}
	g.adapt(g.room)
}

func (g *gathering) shrank(now int) {
	if g.room == few || now > g.room/4 {
		return
	}
	if g.room >= crowded {
		g.tidy()
	}
	for g.room > few && now <= g.room/2 {
		g.room /= 2
	}
	g.adapt(g.room)
}

// A transfer leaves behind what it had at its largest, too, which Go would keep
// for minutes.
const (
	much = 64 << 20 // bytes; what less has left behind is not worth a collection
	calm = 1 << 20  // bytes within the time of dispersal, at most, once it is over
)

// transfers notices when one is over.
var transfers struct {
	moved    atomic.Int64 // bytes, since what was left behind was given back
	watching atomic.Bool
}

// moved is told of bytes that have passed.
func moved(n int) {
	if transfers.moved.Add(int64(n)) > much && transfers.watching.CompareAndSwap(false, true) {
		go func() {
			for before := int64(0); transfers.moved.Load()-before > calm; time.Sleep(dispersal) {
				before = transfers.moved.Load()
			}
			debug.FreeOSMemory()
			transfers.moved.Store(0)
			transfers.watching.Store(false)
		}()
	}
}

// memory is the limit of the Go half.
var memory memoryLimit

type memoryLimit struct {
	room  atomic.Int64 // connections
	peers atomic.Int64 // in the netmap
	mu    sync.Mutex   // so that the last one to look is the last one to set
}

// know makes the limit fit so many peers.
func (l *memoryLimit) know(peers int) {
	if l.peers.Swap(int64(peers)) != int64(peers) {
		l.follow(int(l.room.Load()))
	}
}

// follow makes the limit fit so many connections, in a while: that may have to
// wait for a collection.
func (l *memoryLimit) follow(room int) {
	l.room.Store(int64(room))
	go func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		debug.SetMemoryLimit(memoryBase + (l.room.Load()-few)*memoryPerConn + l.peers.Load()*memoryPerPeer)
	}()
}
