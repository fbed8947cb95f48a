// Rawforward copies bytes between the tailnet and the upstream and knows nothing
// of HTTP: the least that anything built on tsnet can do.
package main

import (
	"io"
	"log"
	"net"

	"remote-ollama-proxy/benches/contestants/node"
)

func main() {
	_, listener := node.Listen()
	node.Ready()
	for {
		near, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go carry(near)
	}
}

func carry(near net.Conn) {
	far, err := net.Dial("tcp", node.Upstream())
	if err != nil {
		near.Close()
		return
	}
	go copyTo(far, near)
	copyTo(near, far)
}

// copyTo carries one direction to its end; the end of the first ends both, which
// for requests and answers is all there is to it.
func copyTo(to, from net.Conn) {
	io.Copy(to, from)
	to.Close()
	from.Close()
}
