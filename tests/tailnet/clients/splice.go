package clients

import (
	"errors"
	"io"
	"net"
	"reflect"
	"sync"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// A splice connects a loopback connection and one in the tailnet transparently: each
// direction ends on its own, and a reset of one side resets the other.
type splice struct {
	near *net.TCPConn
	far  *gonet.TCPConn
	once sync.Once
}

func newSplice(near *net.TCPConn, far net.Conn) *splice {
	return &splice{near: near, far: far.(*gonet.TCPConn)}
}

// run copies until both directions have ended.
func (s *splice) run() {
	var both sync.WaitGroup
	both.Go(func() { s.copy(s.near, s.far) })
	both.Go(func() { s.copy(s.far, s.near) })
	both.Wait()
	s.once.Do(func() {
		s.near.Close()
		s.far.Close()
	})
}

// abort resets both sides.
func (s *splice) abort() {
	s.once.Do(func() {
		reset(s.near)
		abort(s.far)
	})
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// copy copies one direction to its end.
func (s *splice) copy(dst, src halfCloser) {
	if err := pump(dst, src); err != nil || dst.CloseWrite() != nil {
		s.abort()
	}
}

const (
	smallBuffer = 2 << 10 // bytes, held while idle
	largeBuffer = 32 << 10
)

// pump copies until src ends, and then returns nil. Its buffer grows when a read fills
// it, since most of thousands of connections are idle.
func pump(dst io.Writer, src io.Reader) error {
	buf := make([]byte, smallBuffer)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case n == len(buf) && n < largeBuffer:
			buf = make([]byte, 2*n)
		}
	}
}

// reset closes a loopback connection with RST instead of FIN.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// abort resets a connection in the tailnet. gonet exports no reset, so it uses gVisor's
// endpoint in a private field; TestResetIsForwarded fails if that is renamed.
func abort(c *gonet.TCPConn) {
	field := reflect.ValueOf(c).Elem().FieldByName("ep")
	if field.IsValid() {
		if ep, ok := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Interface().(tcpip.Endpoint); ok {
			ep.Abort()
		}
	}
	c.Close()
}
