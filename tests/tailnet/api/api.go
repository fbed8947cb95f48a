// Package api is the HTTP interface through which tests drive the tailnet. It only
// converts requests into calls of control, clients and relay.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"remote-ollama-proxy/tests/tailnet/acme"
	"remote-ollama-proxy/tests/tailnet/clients"
	"remote-ollama-proxy/tests/tailnet/control"
	"remote-ollama-proxy/tests/tailnet/relay"
)

// API drives one tailnet.
type API struct {
	Control *control.Server
	Clients *clients.Manager
	Relay   *relay.Relay
	ACME    *acme.Server // may be nil
}

// Handler returns the routes.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /policy":                              a.policy,
		"PUT /policy":                              a.setPolicy,
		"GET /settings":                            a.settings,
		"PUT /settings":                            a.setSettings,
		"POST /keys":                               a.newKey,
		"POST /oauth-clients":                      a.newOAuthClient,
		"POST /logins":                             a.completeLogin,
		"GET /nodes":                               a.nodes,
		"PUT /services/{name}":                     a.defineService,
		"GET /services/{name}":                     a.service,
		"POST /services/{name}/hold":               a.holdClient,
		"POST /settle":                             func(r *http.Request) (any, error) { return a.settled(r, nil) },
		"GET /clients":                             a.listClients,
		"POST /clients":                            a.startClient,
		"GET /clients/{name}":                      a.client,
		"DELETE /clients/{name}":                   a.stopClient,
		"GET /clients/{name}/forwards":             a.forwards,
		"POST /clients/{name}/forwards":            a.forward,
		"DELETE /clients/{name}/forwards/{listen}": a.removeForward,
		"POST /clients/{name}/dial":                a.dial,
		"POST /clients/{name}/abandon":             a.onClient((*clients.Client).Abandon),
		"POST /clients/{name}/roam":                a.onClient((*clients.Client).Roam),
		"POST /clients/{name}/relay-only":          a.onClient((*clients.Client).RelayOnly),
		"POST /clients/{name}/receive-buffer":      a.receiveBuffer,
		"DELETE /nodes/{name}":                     a.removeNode,
		"POST /nodes/{name}/approve":               a.approve,
		"POST /nodes/{name}/expire":                a.expire,
		"POST /nodes/{name}/forget":                a.forgetNode,
		"POST /nodes/{name}/key-expiry":            a.setKeyExpiry,
		"GET /acme":                                a.issuer,
		"POST /acme/refuse":                        a.refuseName,
		"POST /acme/hurry":                         a.hurryRenewal,
		"POST /control/stop":                       a.stopControl,
		"POST /control/start":                      switchOf(a.Control.Start),
		"POST /relay/stop":                         switchOf(a.Relay.Stop),
		"POST /relay/start":                        switchOf(a.Relay.Start),
	} {
		mux.Handle(pattern, h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, failure{fmt.Sprintf("%s %s: the test tailnet has no such route", r.Method, r.URL.Path)})
	})
	return mux
}

// A handler returns the answer, which is sent as JSON; a string is sent as it is.
type handler func(*http.Request) (any, error)

type failure struct {
	Error string `json:"error"`
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	value, err := h(r)
	switch {
	case errors.Is(err, control.ErrNotFound), errors.Is(err, clients.ErrNotFound):
		answer(w, http.StatusNotFound, failure{err.Error()})
	case err != nil:
		answer(w, http.StatusBadRequest, failure{err.Error()})
	default:
		answer(w, http.StatusOK, value)
	}
}

func answer(w http.ResponseWriter, status int, value any) {
	if text, ok := value.(string); ok {
		w.Header().Set("Content-Type", "application/hujson")
		w.WriteHeader(status)
		io.WriteString(w, text)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

// maxBody bounds the body of a request, in bytes.
const maxBody = 1 << 20

// body decodes the request. An empty one is the zero value.
func body[T any](r *http.Request) (T, error) {
	var value T
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return value, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&value); err != nil {
		return value, fmt.Errorf("body: %w", err)
	}
	return value, nil
}

// done is the answer without content.
type done struct{}

// settled answers once the change has been sent to every online node, for at most 5 s.
func (a *API) settled(r *http.Request, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	a.Control.Settle(ctx)
	return done{}, nil
}

// switchOf returns a handler that starts or stops something.
func switchOf(flip func() bool) handler {
	return func(*http.Request) (any, error) { return switched{flip()}, nil }
}

// switched reports whether the state has changed.
type switched struct {
	Changed bool `json:"changed"`
}
