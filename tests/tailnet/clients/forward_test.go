package clients

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

func TestHalfClosedConnectionStillReceives(t *testing.T) {
	p := newPair(t)
	near, far := p.connect(t)
	_, err := near.Write([]byte("question"))
	must(t, err)
	must(t, near.CloseWrite())
	got, err := io.ReadAll(far)
	must(t, err)
	if string(got) != "question" {
		t.Errorf("%q", got)
	}
	answer := bytes.Repeat([]byte("answer "), 1<<16)
	go func() {
		far.Write(answer)
		far.Close()
	}()
	got, err = io.ReadAll(near)
	must(t, err)
	if !bytes.Equal(got, answer) {
		t.Errorf("%d bytes of %d", len(got), len(answer))
	}
}

func TestResetIsForwarded(t *testing.T) {
	p := newPair(t)
	near, far := p.connect(t)
	must(t, near.SetLinger(0))
	must(t, near.Close())
	_, err := io.ReadAll(far)
	contains(t, err, "reset")

	near, far = p.connect(t)
	abortFar(far)
	if _, err := io.ReadAll(near); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
}

func TestFailedDialResetsTheConnection(t *testing.T) {
	p := newPair(t)
	for _, to := range []string{"nobody:80", "100.64.9.9:80", "server:81"} {
		f, err := p.client.Forward(to)
		must(t, err)
		c, err := net.Dial("tcp", f.Listen)
		if err == nil {
			_, err = io.ReadAll(c)
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", to, err)
		}
	}
	for _, to := range []string{"", "server", ":80", "server:0", "server:http"} {
		_, err := p.client.Forward(to)
		contains(t, err, "to: ")
	}
}

func TestRemovedForwardResetsItsConnections(t *testing.T) {
	p := newPair(t)
	near, far := p.connect(t)
	must(t, p.client.RemoveForward(p.forward.Listen))
	if _, err := io.ReadAll(near); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
	_, err := io.ReadAll(far)
	contains(t, err, "reset")
	contains(t, p.client.RemoveForward(p.forward.Listen), p.forward.Listen)
}

// The first connections begin before the clients have each other's keys.
func TestManyConnectionsOfManyClients(t *testing.T) {
	p := newPair(t)
	// A listener of tsnet resets connections that wait for more than a second, which
	// happens on a loaded machine.
	p.server.server.RegisterFallbackTCPHandler(func(_, to netip.AddrPort) (func(net.Conn), bool) {
		return func(c net.Conn) {
			io.Copy(c, c)
			c.Close()
		}, to.Port() == 81
	})
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			c := p.start(t, name, "tag:client")
			f, err := c.Forward("server:81")
			must(t, err)
			for i := range 50 {
				all.Go(func() { echo(t, f.Listen, bytes.Repeat([]byte{byte(i)}, 1000*i+1)) })
			}
		})
	}
	all.Wait()
}

func echo(t *testing.T, addr string, want []byte) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	go func() {
		c.Write(want)
		c.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d: %v", len(got), len(want), err)
	}
}

func TestAbandonedClientSendsNothing(t *testing.T) {
	p := newPair(t)
	near, far := p.connect(t)
	must(t, p.client.Abandon())
	must(t, near.SetLinger(0))
	must(t, near.Close()) // a reset, which must not reach the server
	receivesNothing := func() error {
		far.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := far.Read(make([]byte, 1))
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return nil
		}
		return fmt.Errorf("the server received something: %v", err)
	}
	must(t, receivesNothing())
	must(t, p.Stop("client"))
	must(t, receivesNothing())
}

// abortFar resets the connection at the server.
func abortFar(c net.Conn) { abort(c.(*gonet.TCPConn)) }
