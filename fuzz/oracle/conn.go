package main

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"time"
)

// listener is a source of in-memory connections.
type listener chan net.Conn

func (l listener) Accept() (net.Conn, error) { return <-l, nil }
func (l listener) Close() error              { return nil }
func (l listener) Addr() net.Addr            { return &net.TCPAddr{} }

// conn is a connection whose client sends one request and half-closes.
type conn struct {
	request  *bytes.Reader
	response bytes.Buffer
	routes   []string
	once     sync.Once
	closed   chan struct{}
}

func newConn(request []byte) *conn {
	return &conn{request: bytes.NewReader(request), closed: make(chan struct{})}
}

func (c *conn) Read(p []byte) (int, error) {
	return c.request.Read(p)
}

func (c *conn) Write(p []byte) (int, error) { return c.response.Write(p) }

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *conn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *conn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// reached records the route of a request.
func (c *conn) reached(route string) { c.routes = append(c.routes, route) }

// verdict returns the status of the first response and all routes that were reached.
func (c *conn) verdict() string {
	status := "000" // no response
	if b := c.response.Bytes(); len(b) >= 12 {
		status = string(b[9:12])
	}
	return strings.Join(append([]string{status}, c.routes...), " ")
}
