// Package load is the measuring client. It implements a minimum of HTTP/1.1, since it
// shares the cores with the contestants.
package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// Dial opens a connection to a contestant.
type Dial func(context.Context) (net.Conn, error)

// How long a client waits: to open connections, and then for the answers on them.
const (
	patience         = time.Minute
	transferPatience = 5 * time.Minute // over a slow link it takes two minutes
)

// conn is a connection with at most one running request.
type conn struct {
	net.Conn
	in *bufio.Reader
}

func open(ctx context.Context, dial Dial, limit time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, 4<<10)}, nil
}

// openOne opens a connection that fails after the limit, which includes opening it.
func openOne(dial Dial, limit time.Duration) (*conn, error) {
	end := time.Now().Add(limit)
	c, err := open(context.Background(), dial, limit)
	if err == nil {
		c.SetDeadline(end)
	}
	return c, err
}

// openAll opens n connections, some at a time. It retries one that is refused or not
// answered: a contestant that has just closed a thousand may not be ready for more.
func openAll(dial Dial, n int) ([]*conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conns, errs := make([]*conn, n), make([]error, n)
	var all sync.WaitGroup
	slots := make(chan struct{}, 32)
	for i := range conns {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			for range 20 {
				conns[i], errs[i] = open(ctx, dial, patience/10)
				if errs[i] == nil || ctx.Err() != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		closeAll(conns)
		return nil, err
	}
	return conns, nil
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}

// head is the relevant part of an answer's head.
type head struct {
	length  int64 // of the body; -1: chunked
	waited  time.Duration
	refused string // the status line, unless it is 200
}

// send writes a request and reads the answer's head.
func (c *conn) send(request []byte) (h head, err error) {
	begun := time.Now()
	if _, err := c.Write(request); err != nil {
		return h, err
	}
	return c.head(begun)
}

func (c *conn) head(begun time.Time) (h head, err error) {
	if _, err := c.in.Peek(1); err != nil {
		return h, fmt.Errorf("no answer: %w", err)
	}
	h.waited = time.Since(begun)
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return h, fmt.Errorf("head of the answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case first && !bytes.Contains(line, []byte(" 200 ")):
			h.refused = string(line)
		case bytes.EqualFold(name, []byte("content-length")):
			if h.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return h, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			h.length = -1
		}
	}
	if h.refused != "" {
		return h, fmt.Errorf("the answer is %q", h.refused)
	}
	return h, nil
}

// ask makes a request and reads the whole answer.
func (c *conn) ask(request []byte) (head, error) {
	h, err := c.send(request)
	if err != nil {
		return h, err
	}
	return h, c.body(h, nil)
}

// body reads a body to its end. For a chunked body it calls each with every chunk.
func (c *conn) body(h head, each func([]byte)) error {
	if h.length >= 0 {
		_, err := io.CopyN(io.Discard, c.in, h.length)
		return err
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("size of a chunk: %w", err)
		}
		size, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 32)
		if err != nil {
			return err
		}
		for left := int(size) + len("\r\n"); left > 0; {
			part, err := c.in.Peek(min(left, c.in.Size()))
			if err != nil {
				return fmt.Errorf("in a chunk: %w", err)
			}
			if each != nil && size > 0 {
				each(part[:min(len(part), max(0, left-2))])
			}
			c.in.Discard(len(part))
			left -= len(part)
		}
		if size == 0 {
			return nil
		}
	}
}

func request(method, target string, length int64) []byte {
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\n", method, target)
	if method == "POST" {
		text += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", length)
	}
	return []byte(text + "\r\n")
}
