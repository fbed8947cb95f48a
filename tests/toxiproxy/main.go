// Command toxiproxy serves Toxiproxy, which makes TCP connections slow, sliced,
// cut short or reset at a test's word, on a free loopback port.
//
// Toxiproxy's own server can't say which port it was given, and one that is
// looked for beforehand may be somebody else's by then. So the listener is ours,
// and the routes that tests use lead to Toxiproxy's handlers.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	zerologger "github.com/rs/zerolog/log"
)

// The first line on standard output says where it listens. It ends with its
// standard input.
func main() {
	// To standard error: standard output has one line only.
	logger := zerolog.New(os.Stderr).Level(zerolog.WarnLevel)
	zerologger.Logger = logger
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), logger)
	routes := mux.NewRouter()
	routes.HandleFunc("/proxies", server.ProxyCreate).Methods(http.MethodPost)
	routes.HandleFunc("/proxies/{proxy}", server.ProxyDelete).Methods(http.MethodDelete)
	routes.HandleFunc("/proxies/{proxy}/toxics", server.ToxicCreate).Methods(http.MethodPost)
	routes.HandleFunc("/proxies/{proxy}/toxics/{toxic}", server.ToxicDelete).Methods(http.MethodDelete)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(listener, routes)) }()
	json.NewEncoder(os.Stdout).Encode(map[string]string{"api": listener.Addr().String()})
	io.Copy(io.Discard, os.Stdin)
}
