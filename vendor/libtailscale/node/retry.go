package node

import (
	"context"
	"errors"
	"time"

	"tailscale.com/types/logger"
	"tailscale.com/util/backoff"
)

const (
	retryMaxPause   = 5 * time.Second  // plus a jitter of at most half
	retryResetAfter = 10 * time.Second // a run of this length resets the backoff
)

var errEndedEarly = errors.New("ended early")

// retry runs step until it is done or ctx ends. It backs off between two runs, from
// 10 ms to retryMaxPause, so that a step that fails at once does not use a whole core.
func retry(ctx context.Context, name string, logf logger.Logf, step func() (done bool)) {
	pause := backoff.NewBackoff(name, logf, retryMaxPause)
	for ctx.Err() == nil {
		began := time.Now()
		if step() {
			return
		}
		if time.Since(began) >= retryResetAfter {
			pause.Reset()
		}
		pause.BackOff(ctx, errEndedEarly)
	}
}
