package api

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"remote-ollama-proxy/tests/tailnet/control"
)

func (a *API) policy(*http.Request) (any, error) { return a.Control.Policy(), nil }

func (a *API) setPolicy(r *http.Request) (any, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	return a.settled(r, a.Control.SetPolicy(text))
}

func (a *API) settings(*http.Request) (any, error) { return a.Control.Settings(), nil }

func (a *API) setSettings(r *http.Request) (any, error) {
	settings, err := body[control.Settings](r)
	if err != nil {
		return nil, err
	}
	return a.settled(r, a.Control.SetSettings(settings))
}

// keyLife is the default validity of a key, Tailscale's maximum.
const keyLife = 90 * 24 * time.Hour

func (a *API) newKey(r *http.Request) (any, error) {
	req, err := body[struct {
		Tags        []string `json:"tags"`
		User        string   `json:"user"`
		Reusable    bool     `json:"reusable"`
		Ephemeral   bool     `json:"ephemeral"`
		Preapproved bool     `json:"preapproved"`
		ExpiresIn   string   `json:"expires_in"`
	}](r)
	if err != nil {
		return nil, err
	}
	life, err := duration("expires_in", req.ExpiresIn, keyLife)
	if err != nil {
		return nil, err
	}
	key, err := a.Control.NewKey(control.KeyRequest{
		Tags: req.Tags, User: req.User, Reusable: req.Reusable, Ephemeral: req.Ephemeral,
		Preapproved: req.Preapproved, ExpiresIn: life,
	})
	return struct {
		Key string `json:"key"`
	}{key}, err
}

func (a *API) newOAuthClient(r *http.Request) (any, error) {
	req, err := body[struct {
		Tags []string `json:"tags"`
	}](r)
	if err != nil {
		return nil, err
	}
	secret, err := a.Control.NewOAuthClient(req.Tags)
	return struct {
		Secret string `json:"secret"`
	}{secret}, err
}

func (a *API) completeLogin(r *http.Request) (any, error) {
	req, err := body[struct {
		URL  string `json:"url"`
		User string `json:"user"`
	}](r)
	if err != nil {
		return nil, err
	}
	return done{}, a.Control.CompleteLogin(req.URL, req.User)
}

func (a *API) nodes(*http.Request) (any, error) { return a.Control.Nodes(), nil }

func (a *API) removeNode(r *http.Request) (any, error) {
	return a.settled(r, a.Control.Remove(r.PathValue("name")))
}

func (a *API) forgetNode(r *http.Request) (any, error) {
	return a.settled(r, a.Control.Forget(r.PathValue("name")))
}

func (a *API) approve(r *http.Request) (any, error) {
	return a.settled(r, a.Control.Approve(r.PathValue("name")))
}

func (a *API) expire(r *http.Request) (any, error) {
	return a.settled(r, a.Control.SetKeyExpiry(r.PathValue("name"), time.Now().Add(-time.Second)))
}

func (a *API) setKeyExpiry(r *http.Request) (any, error) {
	req, err := body[struct {
		In string `json:"in"`
	}](r)
	if err != nil {
		return nil, err
	}
	var at time.Time
	if req.In != "never" {
		in, err := duration("in", req.In, 0)
		if err != nil {
			return nil, err
		}
		at = time.Now().Add(in)
	}
	return a.settled(r, a.Control.SetKeyExpiry(r.PathValue("name"), at))
}

func (a *API) defineService(r *http.Request) (any, error) {
	info, err := a.Control.DefineService("svc:" + r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	_, err = a.settled(r, nil)
	return info, err
}

func (a *API) service(r *http.Request) (any, error) {
	return a.Control.Service("svc:" + r.PathValue("name"))
}

func (a *API) holdClient(r *http.Request) (any, error) {
	req, err := body[struct {
		Client string `json:"client"`
		On     bool   `json:"on"`
	}](r)
	if err != nil {
		return nil, err
	}
	return a.settled(r, a.Control.HoldClient("svc:"+r.PathValue("name"), req.Client, req.On))
}

func (a *API) stopControl(r *http.Request) (any, error) {
	req, err := body[struct {
		Hold bool `json:"hold"`
	}](r)
	if err != nil {
		return nil, err
	}
	return switched{a.Control.Stop(req.Hold)}, nil
}

func duration(field, text string, absent time.Duration) (time.Duration, error) {
	if text == "" && absent != 0 {
		return absent, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is no duration: want one such as 90m or -1s", field, text)
	}
	return d, nil
}
