package node

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/oauth2"
	tsclient "tailscale.com/client/tailscale"
)

// classifyExchange sorts why an OAuth client secret was not exchanged for an
// auth key. An answer that refuses the secret is final; anything else, such as a
// refused connection or a server error, may pass.
func classifyExchange(err error) error {
	kind := KindExchange
	if refusesForGood(statusOf(err)) {
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

// statusOf returns the HTTP status that err is about; 0 when there was no answer
// with one. The token comes from one endpoint and the key from another, each with
// an error type of its own.
func statusOf(err error) int {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil {
		return e.Response.StatusCode
	}
	if e, ok := errors.AsType[tsclient.ErrResponse](err); ok {
		return e.Status
	}
	return 0
}

// refusesForGood reports whether the same request would be refused again.
func refusesForGood(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return 400 <= status && status < 500
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
