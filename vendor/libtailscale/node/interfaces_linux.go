package node

import "tailscale.com/net/netns"

// useEveryInterface lets the node's sockets follow the routing table of the system.
//
// tailscale keeps its own packets out of a tunnel that its host makes. With the privilege
// to mark packets it marks them. Without it, as in an ordinary account, it binds each
// socket to the interface of the default route, or to loopback if there is none. Such a
// socket reaches no control server, relay or peer at another interface or on this
// machine, and a STUN server there costs a time-out of 3 s before the node is up. This
// node makes no tunnel.
func useEveryInterface() {
	if !netns.UseSocketMark() {
		netns.SetEnabled(false)
	}
}
