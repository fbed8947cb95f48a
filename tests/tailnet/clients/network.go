package clients

import (
	"errors"
	"io"
	"net"
	"reflect"
	"unsafe"

	"tailscale.com/wgengine/magicsock"
)

// Abandon makes the client vanish, like a laptop that loses its network: it sends and
// receives no more packets, so none of its connections is closed or reset. Its loopback
// ports stay open and discard data. The control server still shows it as online, as
// Tailscale's does for some minutes.
//
// It closes the sockets of WireGuard and can't be undone.
func (c *Client) Abandon() error { return c.socket().Close() }

// Roam moves the client to another port, as when a laptop changes networks. The port
// that its peers know is closed.
func (c *Client) Roam() error {
	free, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		return err
	}
	port := uint16(free.LocalAddr().(*net.UDPAddr).Port)
	free.Close()
	socket := c.socket()
	before := socket.LocalPort()
	// If another process has taken the port in between, magicsock chooses another.
	socket.SetPreferredPort(port)
	socket.ReSTUN("roamed")
	if socket.LocalPort() == before {
		return errors.New("the client's port has not changed")
	}
	return nil
}

// RelayOnly closes the client's UDP ports, like a network that allows only HTTPS: all of
// its packets go through the relay. It can't be undone.
func (c *Client) RelayOnly() error {
	socket := reflect.ValueOf(c.socket()).Elem()
	// The fields are private; TestRelayOnlyClientUsesOnlyTheRelay fails if they are
	// renamed.
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
