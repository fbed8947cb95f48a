package node

import (
	"context"
	"errors"
	"time"

	"tailscale.com/types/logger"
	"tailscale.com/util/backoff"
)

const (
	againMost   = 5 * time.Second  // the longest pause between two runs, half of it added at most
	againSteady = 10 * time.Second // a run that took as long did not fail at once
)

var errEndedEarly = errors.New("ended early")

// again runs step until it is done or ctx ends. It pauses between two runs, 10 ms
// at first and then longer each time, so that a step that fails at once does not
// occupy a core.
func again(ctx context.Context, name string, logf logger.Logf, step func() (done bool)) {
	pause := backoff.NewBackoff(name, logf, againMost)
	for ctx.Err() == nil {
		began := time.Now()
		if step() {
			return
		}
		if time.Since(began) >= againSteady {
			pause.Reset()
		}
		pause.BackOff(ctx, errEndedEarly)
	}
}
