// Package node is the tailnet node of the contestants that use tsnet, configured by the
// bench's environment variables.
package node

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"tailscale.com/tsnet"
)

// Upstream returns the host and port of the upstream.
func Upstream() string { return os.Getenv("BENCH_UPSTREAM") }

// Listen joins the tailnet and listens on the bench's port. The process ends with its
// standard input, that is, with the bench.
func Listen() (*tsnet.Server, net.Listener) {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	server := &tsnet.Server{
		Dir: os.Getenv("BENCH_DIR"), Hostname: os.Getenv("BENCH_NAME"), ControlURL: os.Getenv("BENCH_CONTROL"),
		AuthKey: os.Getenv("TS_AUTHKEY"), Logf: func(string, ...any) {},
	}
	if _, err := server.Up(context.Background()); err != nil {
		log.Fatal(err)
	}
	listener, err := server.Listen("tcp", ":"+os.Getenv("BENCH_PORT"))
	if err != nil {
		log.Fatal(err)
	}
	return server, listener
}

// Ready reports that connections are accepted.
func Ready() { fmt.Println("listening in the tailnet") }
