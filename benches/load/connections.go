package load

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Connect runs n workers that repeatedly connect, make a request and close. It returns
// the duration of each round, from the first packet to the end of the answer.
func Connect(dial Dial, n int, window time.Duration) (Times, error) {
	times, errs := make([]Times, n), make([]error, n)
	var over atomic.Bool
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for !over.Load() {
				begun := time.Now()
				c, err := openOne(dial, patience)
				if err == nil {
					_, err = c.ask(small)
					c.Close()
				}
				if errs[i] = err; err != nil {
					return
				}
				times[i] = append(times[i], int64(time.Since(begun)))
			}
		})
	}
	time.Sleep(window)
	over.Store(true)
	all.Wait()
	return join(times), errors.Join(errs...)
}

// Idle opens n connections, makes a request on each, and calls f while they are idle.
func Idle(dial Dial, n int, f func() error) error {
	conns, err := openAll(dial, n)
	if err != nil {
		return err
	}
	defer closeAll(conns)
	end := time.Now().Add(patience)
	for _, c := range conns {
		c.SetDeadline(end)
		if _, err := c.ask(small); err != nil {
			return err
		}
	}
	return f()
}
