// Reverseproxy is built like most such proxies: tsnet, the standard library's
// ReverseProxy, and WhoIs for each request.
//
// Its transport keeps as many idle connections as there are clients. With Go's default of
// two it would open a connection for most requests, and the default would be measured
// instead of the design. It is full-duplex: otherwise the server closes a request's body
// when the answer begins, sometimes before the transport has read its end, which aborts
// the answer.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"

	"remote-ollama-proxy/benches/contestants/node"
)

func main() {
	server, listener := node.Listen()
	client, err := server.LocalClient()
	if err != nil {
		log.Fatal(err)
	}
	target := &url.URL{Scheme: "http", Host: node.Upstream()}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 4096
	transport.DisableCompression = true
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}
	node.Ready()
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := client.WhoIs(r.Context(), r.RemoteAddr)
		if err != nil || len(who.Node.Tags) == 0 && who.UserProfile == nil {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		http.NewResponseController(w).EnableFullDuplex()
		proxy.ServeHTTP(w, r)
	})))
}
