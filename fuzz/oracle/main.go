// Oracle answers what Ollama makes of a request or a body, so that the fuzz targets `route` and `model` can compare it with
// what the proxy makes of it.
//
// `oracle request` answers what its router makes of a request. It is net/http's own server with its ServeMux and gin, put together as Ollama does it
// (server/routes.go: GenerateRoutes and Serve), with handlers that only note that they were reached.
//
// On standard input each request comes as its length (four bytes, big-endian) and its bytes. The answer is a line: the
// status, and, where a handler was reached, the method and the path of its route and the value of the path's parameter.
//
// `oracle body` answers which model a body asks for; body.go says how. Bodies come as requests do.
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

// verdict starts the server, and answers what becomes of a request.
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
