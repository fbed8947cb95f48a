package node

import (
	"runtime/debug"
	"time"
)

// crowd gives the memory of many connections back to the system once most of
// them have left. Left alone, Go collects two minutes later at the latest and
// returns what it has collected bit by bit, which reads like a leak.
var crowd = gathering{after: func(f func()) { time.AfterFunc(dispersal, f) }, tidy: debug.FreeOSMemory}

const (
	crowded   = 64              // connections; what fewer leave behind is not worth a collection
	dispersal = 2 * time.Second // the last of them are still being torn down until then
)

// gathering remembers how many there were. Guarded by conns.mu.
type gathering struct {
	most  int // since the last tidying
	after func(func())
	tidy  func()
}

func (g *gathering) grew(now int) { g.most = max(g.most, now) }

func (g *gathering) shrank(now int) {
	if g.most < crowded || now > g.most/4 {
		return
	}
	g.most = now
	g.after(g.tidy)
}
