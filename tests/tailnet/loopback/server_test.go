package loopback

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"tailscale.com/types/logger"
)

func listen(t *testing.T, h http.HandlerFunc) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", h, nil, logger.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func get(addr string) error {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get("http://" + addr)
	if err == nil {
		res.Body.Close()
	}
	return err
}

func TestStoppedServerResetsConnections(t *testing.T) {
	s := listen(t, func(http.ResponseWriter, *http.Request) {})
	for range 2 {
		if err := get(s.Addr()); err != nil {
			t.Errorf("running: %v", err)
		}
		if !s.Stop(false) || s.Stop(false) {
			t.Error("stopped twice")
		}
		if err := get(s.Addr()); err == nil {
			t.Error("a stopped server answered")
		}
		if !s.Start() || s.Start() {
			t.Error("started twice")
		}
	}
}

func TestHeldConnectionIsServedAfterStart(t *testing.T) {
	s := listen(t, func(http.ResponseWriter, *http.Request) {})
	s.Stop(true)
	got := make(chan error)
	go func() { got <- get(s.Addr()) }()
	s.Start()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsHeldConnections(t *testing.T) {
	s := listen(t, func(http.ResponseWriter, *http.Request) {})
	s.Stop(true)
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestStopResetsUpgradedConnections(t *testing.T) {
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
	})
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "101") {
		t.Fatalf("%q %v", line, err)
	}
	s.Stop(false)
	if _, err := io.ReadAll(r); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

func TestOtherAddressesAreRefused(t *testing.T) {
	if s, err := Listen("0.0.0.0:0", nil, nil, logger.Discard); err == nil || !strings.Contains(err.Error(), "no loopback address") {
		t.Errorf("%v %v", s, err)
	}
}
