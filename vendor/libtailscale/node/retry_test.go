package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tailscale.com/types/logger"
)

func TestRetryBacksOffFromAStepThatFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var runs []time.Time
		retry(ctx, "test", logger.Discard, func() bool {
			runs = append(runs, time.Now())
			return false
		})
		if first := runs[1].Sub(runs[0]); first > 20*time.Millisecond {
			t.Errorf("the first pause took %v", first)
		}
		// An hour has 720 pauses of 5 s, with a jitter of half.
		if len(runs) < 400 || len(runs) > 1600 {
			t.Errorf("%d runs in an hour", len(runs))
		}
		if last := runs[len(runs)-1].Sub(runs[len(runs)-2]); last > 8*time.Second {
			t.Errorf("the last pause took %v", last)
		}
	})
}

func TestRetryResetsTheBackoffAfterALongRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs, ended := 0, time.Time{}
		retry(t.Context(), "test", logger.Discard, func() bool {
			if runs++; runs == 101 {
				if pause := time.Since(ended); pause > 20*time.Millisecond {
					t.Errorf("the pause after a long run took %v", pause)
				}
				return true
			}
			if runs == 100 {
				<-time.After(time.Minute) // of the test's own clock
				ended = time.Now()
			}
			return false
		})
	})
}
