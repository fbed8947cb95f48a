package node

import (
	"runtime/debug"
	"sync"
)

var memoryOnce sync.Once

// The Go half lives beside the host program's own heap, and a node moves bytes
// rather than keeping them. Go's defaults let the heap double between
// collections and keep what a burst took: 390 MB of RSS were seen after one
// download of 256 MB.
const (
	gcPercent = 50       // collect when the heap has grown by half
	softLimit = 64 << 20 // bytes; past it the collector works harder, nothing fails
)

func tuneMemory() {
	memoryOnce.Do(func() {
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(softLimit)
	})
}
