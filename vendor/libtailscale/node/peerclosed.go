package node

import (
	"net"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// PeerLeft reports whether the peer of the connection with this id has ended or
// broken its side, even while bytes of it wait to be read: somebody who does not
// read never comes to the end by reading. An id that nobody has any more is one
// whose peer has left.
//
// What the peer's end stands behind and has not arrived yet, because the
// receive window is full, can't be known.
func PeerLeft(id uint64) bool {
	c := find(id)
	return c == nil || c.reset.Load() || endedByPeer(c.net)
}

func endedByPeer(c net.Conn) bool {
	switch stateOf(c) {
	case tcp.StateCloseWait, tcp.StateLastAck, tcp.StateClosing, tcp.StateTimeWait, tcp.StateClose, tcp.StateError:
		return true
	}
	return false
}

// stateOf returns the state of a connection in the tailnet, and that of none at
// all for any other.
func stateOf(c net.Conn) tcp.EndpointState {
	if ep := endpointOf(c); ep != nil {
		return tcp.EndpointState(ep.State())
	}
	return tcp.StateInitial
}
