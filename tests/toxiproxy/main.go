// Command toxiproxy serves Toxiproxy on a free loopback port. Tests use it to make TCP
// connections slow, sliced, truncated or reset.
//
// Toxiproxy's own server can't report its port, and a port that is chosen before may be
// taken by then. So this program has its own listener and routes to Toxiproxy's handlers.
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

// The first line on standard output is the address. The program ends with its standard
// input.
func main() {
	// Log to standard error: standard output has only the address.
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
