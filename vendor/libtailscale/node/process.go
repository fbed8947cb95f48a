package node

import (
	"fmt"
	"runtime/debug"
	"sync"

	"tailscale.com/envknob"
)

// process holds what is one setting for all nodes of a process. It is set before
// the first of them starts and never again: tailscale reads it without a lock.
var process struct {
	mu       sync.Mutex
	prepared bool
	settings processSettings
}

type processSettings struct{ portMapping, startOffline bool }

func prepareProcess(config *Config) error {
	settings := processSettings{config.PortMapping, config.StartOffline}
	process.mu.Lock()
	defer process.mu.Unlock()
	if process.prepared {
		if settings != process.settings {
			return errf(KindOther, "port mapping and starting offline are %v and %v for another node of this process: they must be the same for all",
				process.settings.portMapping, process.settings.startOffline)
		}
		return nil
	}
	process.prepared, process.settings = true, settings
	// Keeps every log on this machine, beside the build tag that leaves the
	// upload code out.
	envknob.SetNoLogsNoSupport()
	envknob.Setenv("TS_DISABLE_PORTMAPPER", fmt.Sprint(!config.PortMapping))
	// Tailscale keeps the netmap in the state folder, sometimes unasked, and with
	// it would be up before the control server has answered: with the policy of
	// an earlier day, even where the node has been removed. So only if asked.
	envknob.Setenv("TS_USE_CACHED_NETMAP", fmt.Sprint(config.StartOffline))
	keepAlive()
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(softLimit)
	return nil
}

// The Go half lives beside the host program's own heap, and a node moves bytes
// rather than keeping them. Go's defaults let the heap double between
// collections and keep what a burst took: 390 MB of RSS were seen after one
// download of 256 MB.
const (
	gcPercent = 50       // collect when the heap has grown by half
	softLimit = 64 << 20 // bytes; past it the collector works harder, nothing fails
)
