package node

import (
	"fmt"
	"runtime/debug"
	"sync"

	"tailscale.com/envknob"
)

// process holds the settings that all nodes of a process share. They are set once, before
// the first node starts: tailscale reads them without a lock.
var process struct {
	mu       sync.Mutex
	prepared bool
	settings processSettings
}

type processSettings struct{ portMapping, startOffline bool }

// prepareProcess applies the settings. It fails if they differ from those of another
// node.
func prepareProcess(config *Config) error {
	settings := processSettings{config.PortMapping, config.StartOffline}
	process.mu.Lock()
	defer process.mu.Unlock()
	if process.prepared {
		if settings != process.settings {
			return errf(KindOther, "start the node: its process-wide settings differ from those of another node (port_mapping=%v, start_offline=%v): use the same",
				process.settings.portMapping, process.settings.startOffline)
		}
		return nil
	}
	if err := disableDNSFallback(); err != nil {
		return err
	}
	useEveryInterface()
	process.prepared, process.settings = true, settings
	// Keeps every log on this machine. The upload code is not compiled in either.
	envknob.SetNoLogsNoSupport()
	envknob.Setenv("TS_DISABLE_PORTMAPPER", fmt.Sprint(!config.PortMapping))
	// Tailscale may cache the netmap in the state folder, and would come up with it
	// before the control server has answered: with an outdated policy, even if the
	// node has been removed. So the cache is off unless configured.
	envknob.Setenv("TS_USE_CACHED_NETMAP", fmt.Sprint(config.StartOffline))
	setKeepAlive()
	debug.SetGCPercent(gcPercent)
	memory.setCapacity(minCapacity)
	return nil
}

// gcPercent is how much the heap may grow between collections, within the memory limit.
const gcPercent = 50
