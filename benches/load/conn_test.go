package load

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// answered is a connection that delivers an answer byte by byte.
func answered(t *testing.T, answer string) *conn {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	go io.Copy(io.Discard, far)
	return &conn{near, bufio.NewReader(iotest.OneByteReader(strings.NewReader(answer)))}
}

func TestBodiesAreTakenToTheirEnd(t *testing.T) {
	const next = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
	} {
		c := answered(t, answer+next)
		for range 2 {
			if _, err := c.ask(small); err != nil {
				t.Errorf("%q: %v", answer, err)
			}
		}
	}
}

func TestWhatIsNoAnswerFails(t *testing.T) {
	for _, answer := range []string{
		"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
	} {
		if _, err := answered(t, answer).ask(small); err == nil {
			t.Errorf("%q was taken for an answer", answer)
		}
	}
}

func TestChunksComeWhole(t *testing.T) {
	c := answered(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n")
	h, err := c.send(small)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := c.body(h, func(part []byte) { got = append(got, string(part)) }); err != nil || strings.Join(got, " ") != "first second" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestStampsAreRead(t *testing.T) {
	for text, want := range map[string]int64{
		`data: {"sent":0000000000000042,`: 42,
		`data: {"sent":00000`:             0,
		`data: {}`:                        0,
	} {
		if at, ok := stamp([]byte(text), `"sent":`); at != want || ok != (want > 0) {
			t.Errorf("%q: %d %v", text, at, ok)
		}
	}
}

// A contestant that no longer answers must not stop the run.
func TestConnectionsThatDoNotOpenFailInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		begun := time.Now()
		_, err := openAll(silent, 1000)
		if took := time.Since(begun); err == nil || took > 2*patience {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// Each of a thousand answers may come in time, and all together not.
func TestSlowAnswersFailInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				far.Read(make([]byte, 1000))
				time.Sleep(patience / 2)
				io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}()
			return near, nil
		}
		begun := time.Now()
		err := Idle(slow, 1000, func() error { return nil })
		if took := time.Since(begun); err == nil || took > 2*patience {
			t.Errorf("after %v: %v", took, err)
		}
		time.Sleep(patience) // until the other ends have noticed
	})
}

func TestConnectionsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		busy := func(ctx context.Context) (net.Conn, error) {
			if tries++; tries == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			near, _ := net.Pipe()
			return near, nil
		}
		conns, err := openAll(busy, 1)
		if err != nil {
			t.Fatal(err)
		}
		closeAll(conns)
	})
}

func TestQuantiles(t *testing.T) {
	times := join([]Times{{4, 2}, {3, 1}})
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.99: 4, 1: 4} {
		if got := times.Quantile(q); got != want {
			t.Errorf("%v: %d", q, got)
		}
	}
	if got := (Times{}).Quantile(0.5); got != 0 {
		t.Errorf("of none: %v", got)
	}
}
