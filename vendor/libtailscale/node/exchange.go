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

// classifyExchange classifies a failed exchange of an OAuth client secret for an auth
// key. An answer of the API that rejects the secret is permanent. Any other failure,
// such as a refused connection or the answer of an intermediary, may be retried.
func classifyExchange(err error) error {
	kind := KindExchange
	if isPermanent(err) {
		kind = KindKey
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	text = strings.TrimPrefix(text, "tsnet: error resolving auth key: ")
	if len(text) > maxReason {
		text = text[:maxReason] + "…"
	}
	return errf(kind, "exchanging the OAuth client secret for an auth key: %s", text)
}

// maxReason bounds the quoted part of an answer, in bytes: it may be a web page.
const maxReason = 300

// isPermanent reports whether the API would reject the same request again: it answered
// 401 or 403, or 400 with an error in its own format. Other statuses, and a 400 in
// another format, may come from an intermediary. The token and the key come from two
// endpoints, each with its own error type.
func isPermanent(err error) bool {
	status, ofAPI := 0, false
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil {
		status, ofAPI = e.Response.StatusCode, slices.Contains(tokenErrors, e.ErrorCode)
	} else if e, ok := errors.AsType[tsclient.ErrResponse](err); ok {
		status, ofAPI = e.Status, e.Message != ""
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	case http.StatusBadRequest:
		return ofAPI
	}
	return false
}

// tokenErrors are the error codes of RFC 6749, section 5.2.
var tokenErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant",
	"unauthorized_client", "unsupported_grant_type", "invalid_scope",
}

// startWithin runs start and fails when ctx ends first. The exchange of a client secret
// in start has no time-out of its own.
func (n *Node) startWithin(ctx context.Context, start func() error) error {
	started := make(chan error, 1)
	go func() { started <- start() }()
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
	}
	if n.config.ClientSecret != "" && n.ctx.Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errf(KindExchange, "exchanging the OAuth client secret for an auth key: no answer before the deadline")
	}
	return n.upCancelled(ctx, "")
}
