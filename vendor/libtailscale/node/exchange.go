package node

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/oauth2"
	tsclient "tailscale.com/client/tailscale"
)

// classifyExchange sorts why an OAuth client secret was not exchanged for an
// auth key. An answer of the API that refuses the secret is final; anything else,
// such as a refused connection or an answer of something in between, may pass.
func classifyExchange(err error) error {
	kind := KindExchange
	if refusesForGood(err) {
		kind = KindKey
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	text = strings.TrimPrefix(text, "tsnet: error resolving auth key: ")
	if len(text) > maxReason {
		text = text[:maxReason] + "…"
	}
	return errf(kind, "exchanging the OAuth client secret for an auth key: %s", text)
}

// maxReason bounds what is quoted of an answer, in bytes: it may be a web page.
const maxReason = 300

// refusesForGood reports whether the same request would be refused again: the API
// answered 401 or 403, or 400 with an error in the form that is its own. A 400
// without one, 404 and the like are not known to come from the API. The token comes
// from one endpoint and the key from another, each with an error type of its own.
func refusesForGood(err error) bool {
	status, named := 0, false
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil {
		status, named = e.Response.StatusCode, slices.Contains(tokenErrors, e.ErrorCode)
	} else if e, ok := errors.AsType[tsclient.ErrResponse](err); ok {
		status, named = e.Status, e.Message != ""
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	case http.StatusBadRequest:
		return named
	}
	return false
}

// tokenErrors are the error codes of RFC 6749, section 5.2.
var tokenErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant",
	"unauthorized_client", "unsupported_grant_type", "invalid_scope",
}

// starting runs start, which exchanges a secret for a key as slowly as the network
// likes, and fails when ctx ends first.
func (n *Node) starting(ctx context.Context, start func() error) error {
	started := make(chan error, 1)
	go func() { started <- start() }()
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
	}
	n.mu.Lock()
	exchanges := n.config.ClientSecret != ""
	n.mu.Unlock()
	if exchanges && n.ctx.Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errf(KindExchange, "exchanging the OAuth client secret for an auth key: no answer before the deadline")
	}
	return n.interrupted(ctx, "")
}
