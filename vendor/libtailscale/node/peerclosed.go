package node

import "gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

// PeerClosed reports whether the peer of a connection has half-closed or reset it, even
// while received data is unread. It is true for an id that is no longer known.
//
// A FIN behind data that does not fit into the receive window has not arrived and can't
// be detected.
func PeerClosed(id uint64) bool {
	c := lookup(id)
	return c == nil || c.reset.Load() || closedByPeer(c.state())
}

func closedByPeer(state tcp.EndpointState) bool {
	switch state {
	case tcp.StateCloseWait, tcp.StateLastAck, tcp.StateClosing, tcp.StateTimeWait, tcp.StateClose, tcp.StateError:
		return true
	}
	return false
}
