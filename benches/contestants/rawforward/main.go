// Rawforward copies bytes between the tailnet and the upstream, without HTTP: the minimum
// work of a program on tsnet.
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

// copyTo copies one direction to its end. The end of the first direction ends both, which
// is enough for requests and answers.
func copyTo(to, from net.Conn) {
	io.Copy(to, from)
	to.Close()
	from.Close()
}
