// Oracle answers what Ollama's router makes of a request, so that the fuzz target `route` can compare it with what the
// proxy permits. It is net/http's own server with its ServeMux and gin, put together as Ollama does it
// (server/routes.go: GenerateRoutes and Serve), with handlers that only note that they were reached.
//
// On standard input each request comes as its length (four bytes, big-endian) and its bytes. The answer is a line: the
// status, and, where a handler was reached, the method and the path of its route and the value of the path's parameter.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

type connKey struct{}

func main() {
	log.SetOutput(io.Discard) // net/http reports each malformed request
	listener := make(listener)
	server := &http.Server{
		Handler: ollama(),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	go server.Serve(listener)

	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		request, err := frame(in)
		if err == io.EOF {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "oracle:", err)
			os.Exit(1)
		}
		conn := newConn(request)
		listener <- conn
		<-conn.closed
		fmt.Fprintln(out, conn.verdict())
		out.Flush()
	}
}

func frame(in io.Reader) ([]byte, error) {
	var length uint32
	if err := binary.Read(in, binary.BigEndian, &length); err != nil {
		return nil, err
	}
	request := make([]byte, length)
	_, err := io.ReadFull(in, request)
	return request, err
}
