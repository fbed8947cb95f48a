package load

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"remote-ollama-proxy/benches/clock"
)

// Streams has n connections stream an answer of which an event is sent every so
// often, and returns how long after its sending each event of the window came.
func Streams(dial Dial, n int, every, window time.Duration, mark func()) (Times, error) {
	conns, err := openAll(dial, n)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	const body = `{"model":"llama3.2","stream":true}`
	// More than there is time for: the streams end by the client's leaving.
	target := fmt.Sprintf("/v1/chat/completions?chunks=%d&every=%v", 1_000_000, every)
	ask := append(request("POST", target, int64(len(body))), body...)
	var measuring, over atomic.Bool
	times, errs := make([]Times, n), make([]error, n)
	var begun, all sync.WaitGroup
	begun.Add(n)
	for i, c := range conns {
		all.Go(func() {
			c.SetDeadline(time.Now().Add(patience))
			h, err := c.send(ask)
			begun.Done()
			if err == nil {
				err = c.body(h, func(part []byte) {
					if sent, ok := stamp(part, `"sent":`); ok && measuring.Load() {
						times[i] = append(times[i], clock.Now()-sent)
					}
				})
			}
			if !over.Load() {
				errs[i] = err
			}
		})
	}
	begun.Wait()
	time.Sleep(warmUp)
	mark()
	measuring.Store(true)
	time.Sleep(window)
	measuring.Store(false)
	mark()
	over.Store(true)
	closeAll(conns)
	all.Wait()
	return join(times), errors.Join(errs...)
}

// stamp finds a time that the upstream has written. Of several events in one
// chunk it takes the first, which was held up longest.
func stamp(part []byte, key string) (at int64, ok bool) {
	_, digits, ok := bytes.Cut(part, []byte(key))
	if !ok || len(digits) < 16 {
		return 0, false
	}
	for _, d := range digits[:16] {
		at = at*10 + int64(d-'0')
	}
	return at, true
}

// FirstByte asks for streams one after the other on one connection, and returns
// how long the first byte of each took, without what the upstream took.
func FirstByte(dial Dial, n int) (Times, error) {
	c, err := open(dial)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	const body = `{"model":"llama3.2","stream":true}`
	ask := append(request("POST", "/v1/chat/completions?chunks=1", int64(len(body))), body...)
	times := make(Times, n)
	for i := range times {
		h, err := c.send(ask)
		if err != nil {
			return nil, err
		}
		err = c.body(h, func(part []byte) {
			asked, _ := stamp(part, `"asked":`)
			sent, _ := stamp(part, `"sent":`)
			times[i] = int64(h.waited) - (sent - asked)
		})
		if err != nil {
			return nil, err
		}
	}
	return join([]Times{times}), nil
}
