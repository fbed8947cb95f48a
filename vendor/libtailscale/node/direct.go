package node

import (
	"bytes"
	"io"
	"net"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// WriteDirect hands bytes of the host program to netstack in the calling thread,
// and returns how many it took. It never waits. What it does not take, because
// netstack has no room or the connection is broken, goes through the
// descriptor, as does everything until the peer's side has all that went there
// before: after is how many bytes that is, so that nothing is overtaken.
//
// Through the descriptor a chunk of an answer needs a second thread to be woken
// and copies it twice more.
func WriteDirect(id uint64, parts [][]byte, after uint64) int {
	c := find(id)
	if c == nil || c.endpoint == nil || c.passed.Load() != after {
		return 0
	}
	var payload tcpip.Payloader
	if len(parts) == 1 {
		payload = bytes.NewReader(parts[0])
	} else {
		payload = &gathered{parts}
	}
	// Any failure shows again, and in full, when the descriptor is used.
	n, _ := c.endpoint.Write(payload, tcpip.WriteOptions{})
	return int(n)
}

// gathered reads several slices as one.
type gathered struct{ parts [][]byte }

func (g *gathered) Len() (n int) {
	for _, part := range g.parts {
		n += len(part)
	}
	return n
}

func (g *gathered) Read(b []byte) (int, error) {
	read := 0
	for len(g.parts) > 0 && read < len(b) {
		n := copy(b[read:], g.parts[0])
		read += n
		if g.parts[0] = g.parts[0][n:]; len(g.parts[0]) == 0 {
			g.parts = g.parts[1:]
		}
	}
	if read == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return read, nil
}

// endpointOf returns what is behind a connection in the tailnet; nil for any other.
func endpointOf(c net.Conn) tcpip.Endpoint {
	if gvisor, ok := c.(*gonet.TCPConn); ok {
		ep, _ := private(gvisor, "ep").(tcpip.Endpoint)
		return ep
	}
	return nil
}
