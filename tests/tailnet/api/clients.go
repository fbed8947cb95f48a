package api

import (
	"context"
	"net/http"
	"time"

	"remote-ollama-proxy/tests/tailnet/clients"
)

func (a *API) listClients(*http.Request) (any, error) { return a.Clients.List(), nil }

func (a *API) startClient(r *http.Request) (any, error) {
	req, err := body[struct {
		Hostname string   `json:"hostname"`
		Tags     []string `json:"tags"`
		User     string   `json:"user"`
	}](r)
	if err != nil {
		return nil, err
	}
	return a.Clients.Start(r.Context(), req.Hostname, req.Tags, req.User)
}

func (a *API) client(r *http.Request) (any, error) { return a.Clients.Client(r.PathValue("name")) }

func (a *API) stopClient(r *http.Request) (any, error) {
	return done{}, a.Clients.Stop(r.PathValue("name"))
}

func (a *API) forwards(r *http.Request) (any, error) {
	c, err := a.Clients.Client(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return c.Forwards(), nil
}

func (a *API) forward(r *http.Request) (any, error) {
	c, err := a.Clients.Client(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	req, err := body[struct {
		To string `json:"to"`
	}](r)
	if err != nil {
		return nil, err
	}
	return c.Forward(req.To)
}

func (a *API) removeForward(r *http.Request) (any, error) {
	c, err := a.Clients.Client(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return done{}, c.RemoveForward(r.PathValue("listen"))
}

// dialTimeout is how long a denied dial takes: a packet filter drops packets without an
// answer.
const dialTimeout = 5 * time.Second

type dialled struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

func (a *API) dial(r *http.Request) (any, error) {
	c, err := a.Clients.Client(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	req, err := body[struct {
		To      string `json:"to"`
		Timeout string `json:"timeout"`
	}](r)
	if err != nil {
		return nil, err
	}
	timeout, err := duration("timeout", req.Timeout, dialTimeout)
	if err != nil {
		return nil, err
	}
	if err := clients.CheckTarget(req.To); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	conn, err := c.Dial(ctx, req.To)
	if err != nil {
		return dialled{Error: err.Error()}, nil
	}
	conn.Close()
	return dialled{OK: true}, nil
}

// onClient returns a handler that calls a method of a client.
func (a *API) onClient(do func(*clients.Client) error) handler {
	return func(r *http.Request) (any, error) {
		c, err := a.Clients.Client(r.PathValue("name"))
		if err != nil {
			return nil, err
		}
		return done{}, do(c)
	}
}

func (a *API) receiveBuffer(r *http.Request) (any, error) {
	c, err := a.Clients.Client(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	req, err := body[struct {
		Bytes int `json:"bytes"`
	}](r)
	if err != nil {
		return nil, err
	}
	return done{}, c.SetReceiveBuffer(req.Bytes)
}
