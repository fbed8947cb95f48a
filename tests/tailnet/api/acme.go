package api

import "net/http"

func (a *API) issuer(*http.Request) (any, error) {
	return struct {
		Directory string `json:"directory"`
		Root      string `json:"root"`
	}{a.ACME.Directory(), a.ACME.Root()}, nil
}

func (a *API) refuseName(r *http.Request) (any, error) {
	req, err := body[struct {
		Name string `json:"name"`
	}](r)
	if err != nil {
		return nil, err
	}
	return done{}, a.ACME.Refuse(req.Name)
}

func (a *API) hurryRenewal(r *http.Request) (any, error) {
	req, err := body[struct {
		Certificate string `json:"certificate"`
	}](r)
	if err != nil {
		return nil, err
	}
	return done{}, a.ACME.RequestRenewal(req.Certificate)
}
