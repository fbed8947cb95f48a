package clients

import (
	"errors"
	"io"
	"net"
	"reflect"
	"unsafe"

	"tailscale.com/wgengine/magicsock"
)

// Abandon lets the client vanish without a word, like a laptop that loses its
// network: from now on no packet leaves it or reaches it, so that none of its
// connections is ended or reset. Its loopback ports stay open; what is written
// to them goes nowhere. The control server goes on believing it online, as it
// would for some minutes.
//
// It works by closing the sockets under WireGuard, and there is no way back:
// stop the client and start another.
func (c *Client) Abandon() error { return c.socket().Close() }

// Roam moves the client to another address, as a laptop that changes networks:
// its packets come from another port at once, and the one that its peers know
// is dead.
func (c *Client) Roam() error {
	free, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		return err
	}
	port := uint16(free.LocalAddr().(*net.UDPAddr).Port)
	free.Close()
	socket := c.socket()
	before := socket.LocalPort()
	// Should somebody else have taken the port meanwhile, it finds another by
	// itself.
	socket.SetPreferredPort(port)
	socket.ReSTUN("roamed")
	if socket.LocalPort() == before {
		return errors.New("the client's port has not changed")
	}
	return nil
}

// RelayOnly closes the client's UDP ports, as a network does that lets nothing
// but HTTPS out: from now on all of its packets go through the relay. There is
// no way back.
func (c *Client) RelayOnly() error {
	socket := reflect.ValueOf(c.socket()).Elem()
	// Closing them is public, finding them is not; TestRelayOnly fails when they
	// are renamed.
	for _, name := range []string{"pconn4", "pconn6"} {
		field := socket.FieldByName(name)
		if !field.IsValid() {
			return errors.New("magicsock has no " + name)
		}
		port, ok := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Interface().(io.Closer)
		if !ok {
			return errors.New("magicsock's " + name + " can't be closed")
		}
		if err := port.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return nil
}

func (c *Client) socket() *magicsock.Conn { return c.server.Sys().MagicSock.Get() }
