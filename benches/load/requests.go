package load

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// small is the measured request.
var small = request("GET", "/api/version", 0)

// warmUp precedes each window: connections settle and heaps grow to their size.
const warmUp = 300 * time.Millisecond

// measure opens a window after the warm-up, and closes it. It calls mark at both ends.
func measure(measuring *atomic.Bool, window time.Duration, mark func()) {
	time.Sleep(warmUp)
	mark()
	measuring.Store(true)
	time.Sleep(window)
	measuring.Store(false)
	mark()
}

// Requests makes small requests on n connections, one after the other on each. It returns
// the durations of those that began in the window, and calls mark at both ends.
func Requests(dial Dial, n int, window time.Duration, mark func()) (Times, error) {
	conns, err := openAll(dial, n)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	var measuring, over atomic.Bool
	times, errs := make([]Times, n), make([]error, n)
	var all sync.WaitGroup
	for i, c := range conns {
		all.Go(func() {
			c.SetDeadline(time.Now().Add(patience))
			for !over.Load() {
				counts, begun := measuring.Load(), time.Now()
				if _, errs[i] = c.ask(small); errs[i] != nil {
					return
				}
				if counts {
					times[i] = append(times[i], int64(time.Since(begun)))
				}
			}
		})
	}
	measure(&measuring, window, mark)
	over.Store(true)
	all.Wait()
	return join(times), errors.Join(errs...)
}
