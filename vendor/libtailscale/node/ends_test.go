package node

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// An end is one end of a connection.
type end interface {
	io.ReadWriter
	SetWriteDeadline(time.Time) error
	readAll() ([]byte, error) // a reset is unix.ECONNRESET
	closeWrite() error
	close()
	abort()
}

// peerEnd is the peer's end, a connection of another node's netstack.
type peerEnd struct{ *gonet.TCPConn }

func (e *peerEnd) readAll() ([]byte, error) {
	b, err := io.ReadAll(e)
	// gonet has no errno.
	if err != nil && strings.Contains(err.Error(), "connection reset") {
		err = unix.ECONNRESET
	}
	return b, err
}

func (e *peerEnd) closeWrite() error { return e.CloseWrite() }
func (e *peerEnd) close()            { e.Close() }

func (e *peerEnd) abort() {
	endpointOf(e.TCPConn).Abort()
	e.Close()
}

// hostEnd is the host program's end. It reads and writes as src/tsnet/conn.rs does.
type hostEnd struct {
	*stream
	conn *Conn
}

// stream is the mutable part of a hostEnd.
type stream struct {
	id       uint64
	ready    chan struct{}
	file     *os.File // nil: no descriptor yet
	streamed uint64   // bytes written to file
}

func newHostEnd(conn *Conn) hostEnd {
	s := &stream{id: conn.ID, ready: make(chan struct{}, 1)}
	OnReadable(s.id, func() {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	})
	return hostEnd{s, conn}
}

func (s *stream) open() error {
	if s.file != nil {
		return nil
	}
	fd, err := Descriptor(s.id)
	if err == nil {
		s.file = os.NewFile(uintptr(fd), "connection")
	}
	return err
}

func (s *stream) Read(b []byte) (int, error) {
	for {
		switch result := TryRead(s.id, b); result.Status {
		case ReadOK:
			return result.N, nil
		case ReadEOF:
			return 0, io.EOF
		case ReadReset:
			return 0, unix.ECONNRESET
		}
		<-s.ready
	}
}

func (s *stream) readAll() ([]byte, error) { return io.ReadAll(s) }

func (s *stream) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		taken := TryWrite(s.id, [][]byte{b[n:]}, s.streamed)
		if taken == 0 {
			if err = s.open(); err == nil {
				taken, err = s.file.Write(b[n:])
				s.streamed += uint64(taken)
			}
		}
		n += taken
	}
	return n, err
}

// SetWriteDeadline applies to the descriptor; other writes never block.
func (s *stream) SetWriteDeadline(at time.Time) error {
	return errors.Join(s.open(), s.file.SetWriteDeadline(at))
}

func (s *stream) closeWrite() error {
	if s.file == nil {
		Shutdown(s.id)
		return nil
	}
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var shutdownErr error
	err = raw.Control(func(fd uintptr) { shutdownErr = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(err, shutdownErr)
}

func (s *stream) closeFile() {
	if s.file != nil {
		s.file.Close()
	}
}

func (e hostEnd) close() { e.closeFile(); Release(e.conn.ID, false) }
func (e hostEnd) abort() { Release(e.conn.ID, true); e.closeFile() }
