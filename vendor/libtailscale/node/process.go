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
	if err := refuseBootstrap(); err != nil {
		return err
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
	memory.follow(few)
	return nil
}

// gcPercent is how much the heap may grow between collections, within the limit
// that memory sets.
const gcPercent = 50
