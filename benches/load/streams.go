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

// Streams streams an answer on each of n connections, with an event at a fixed interval.
// It returns the delay of each event of the window.
func Streams(dial Dial, n int, every, window time.Duration, mark func()) (Times, error) {
	conns, err := openAll(dial, n)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	// More than fit into the window: the client ends the streams.
	ask := streamRequest(fmt.Sprintf("chunks=%d&every=%v", 1_000_000, every))
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
				events := stamps{key: `"sent":`}
				err = c.body(h, func(part []byte) {
					counts, now := measuring.Load(), clock.Now()
					events.each(part, func(sent int64) {
						if counts {
							times[i] = append(times[i], now-sent)
						}
					})
				})
			}
			if !over.Load() {
				errs[i] = err
			}
		})
	}
	begun.Wait()
	measure(&measuring, window, mark)
	over.Store(true)
	closeAll(conns)
	all.Wait()
	return join(times), errors.Join(errs...)
}

// Gaps streams an answer of this many events at a fixed interval on one connection. It
// returns the times between the events as the client gets them.
func Gaps(dial Dial, events int, every time.Duration) (Times, error) {
	c, err := openOne(dial, patience)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	h, err := c.send(streamRequest(fmt.Sprintf("chunks=%d&every=%v", events, every)))
	if err != nil {
		return nil, err
	}
	var times Times
	last, found := int64(0), stamps{key: `"sent":`}
	err = c.body(h, func(part []byte) {
		now := clock.Now()
		found.each(part, func(int64) {
			if last > 0 {
				times = append(times, now-last)
			}
			last = now
		})
	})
	if err == nil && len(times) != events-1 {
		err = fmt.Errorf("%d gaps between %d events", len(times), events)
	}
	return join([]Times{times}), err
}

// digits is the length of a time stamp of the upstream.
const digits = 16

// stamp returns the first time stamp of a kind.
func stamp(part []byte, key string) (at int64, ok bool) {
	f := stamps{key: key}
	f.each(part, func(found int64) {
		if !ok {
			at, ok = found, true
		}
	})
	return at, ok
}

// stamps finds the time stamps of a kind in a stream of parts: some contestants join or
// split chunks.
type stamps struct {
	key  string
	kept []byte // the end of the last part, which may be the beginning of a stamp
}

func (f *stamps) each(part []byte, found func(at int64)) {
	if len(f.kept) > 0 {
		part = append(f.kept, part...)
	}
	for {
		i := bytes.Index(part, []byte(f.key))
		if i < 0 || len(part) < i+len(f.key)+digits {
			break
		}
		part = part[i+len(f.key):]
		at := int64(0)
		for _, d := range part[:digits] {
			at = at*10 + int64(d-'0')
		}
		found(at)
		part = part[digits:]
	}
	f.kept = append(f.kept[:0], part[max(len(part)-len(f.key)-digits+1, 0):]...)
}

// streamRequest asks the upstream for a stream; the query says for which.
func streamRequest(query string) []byte {
	const body = `{"model":"llama3.2","stream":true}`
	return append(request("POST", "/v1/chat/completions?"+query, int64(len(body))), body...)
}

// FirstByte requests streams one after the other on one connection. It returns the time to
// the first byte of each, without the time of the upstream.
func FirstByte(dial Dial, n int) (Times, error) {
	c, err := openOne(dial, patience)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ask := streamRequest("chunks=1")
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
