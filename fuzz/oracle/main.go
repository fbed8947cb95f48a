// Oracle evaluates a request or a body as Ollama does, so that the fuzz targets `route` and `model` can compare the proxy
// with it.
//
// `oracle request` routes a request. It uses net/http's server with its ServeMux and gin, combined as in Ollama
// (server/routes.go: GenerateRoutes and Serve), with handlers that only record the route.
//
// Each request on standard input is its length (four bytes, big-endian) and its bytes. The answer is a line: the status
// and, if a handler was reached, the method and the path of its route and the value of the path's parameter.
//
// `oracle body` returns the model in a body; see body.go. The input has the same format.
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
	answer := verdict()
	if len(os.Args) > 1 && os.Args[1] == "body" {
		answer = models
	}
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		question, err := frame(in)
		if err == io.EOF {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "oracle:", err)
			os.Exit(1)
		}
		fmt.Fprintln(out, answer(question))
		out.Flush()
	}
}

// verdict starts the server and returns a function that routes a request.
func verdict() func(request []byte) string {
	log.SetOutput(io.Discard) // net/http reports each malformed request
	listener := make(listener)
	server := &http.Server{
		Handler: ollama(),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	go server.Serve(listener)
	return func(request []byte) string {
		conn := newConn(request)
		listener <- conn
		<-conn.closed
		return conn.verdict()
	}
}

func frame(in io.Reader) ([]byte, error) {
	var length uint32
	if err := binary.Read(in, binary.BigEndian, &length); err != nil {
		return nil, err
	}
	question := make([]byte, length)
	_, err := io.ReadFull(in, question)
	return question, err
}
