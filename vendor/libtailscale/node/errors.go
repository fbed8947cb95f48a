package node

import (
	"errors"
	"fmt"
	"strings"
)

// A Kind classifies errors by their remedy. The numbers are part of the C interface
// (tailscale.h, TAILSCALE_ERR_*).
type Kind int

const (
	KindNone     Kind = 0
	KindOther    Kind = 1
	KindClosed   Kind = 2  // the node is closed
	KindCanceled Kind = 3  // the caller cancelled
	KindKey      Kind = 4  // the control server rejects the auth key
	KindExpired  Kind = 5  // the auth key or the node key has expired
	KindLogin    Kind = 6  // a user must log the node in
	KindApproval Kind = 7  // an admin must approve the device
	KindControl  Kind = 8  // the control server is unreachable
	KindLogging  Kind = 9  // the tailnet requires log upload, which is not compiled in
	KindState    Kind = 10 // the state folder is unusable
	KindExchange Kind = 11 // the exchange of the OAuth client secret failed and may be retried
)

// An Error is a failure with its kind.
type Error struct {
	Kind Kind
	Text string
}

func (e *Error) Error() string { return e.Text }

// ErrClosed is returned by all methods of a closed node.
var ErrClosed error = &Error{KindClosed, "the node is closed"}

func errf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of err; KindNone for nil.
func KindOf(err error) Kind {
	if err == nil {
		return KindNone
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindOther
}

// A Failure is an error as the host program receives it.
type Failure struct {
	Kind  Kind   `json:"kind"`
	Error string `json:"error,omitempty"`
}

// FailureOf returns err for the host program.
func FailureOf(err error) Failure { return Failure{KindOf(err), err.Error()} }

func errLogging() error {
	return errf(KindLogging, "this tailnet requires its nodes to upload their logs, which this node never does: "+
		"an admin must turn network flow logs off for it, or it must join another tailnet")
}

// classifyBackend classifies a message of the control server or of tailscale's backend.
// There are no codes, only these texts.
func classifyBackend(text string) error {
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "requires logging"):
		return errLogging()
	case strings.Contains(lower, "rate limited"): // the backend retries on its own
		return errf(KindControl, "%s", text)
	case strings.Contains(lower, "expired"):
		return errf(KindExpired, "%s", text)
	case strings.Contains(lower, "invalid key"),
		strings.Contains(lower, "auth key"),
		strings.Contains(lower, "authkey"),
		strings.Contains(lower, "api key"):
		return errf(KindKey, "%s", text)
	}
	return errf(KindOther, "%s", text)
}

// classifyStart classifies an error of tsnet's Start: the exchange of an OAuth client
// secret, or a file of the state folder.
func classifyStart(err error, dir string) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "resolving auth key"):
		return classifyExchange(err)
	case strings.Contains(text, dir), strings.Contains(text, "NewLocalBackend"): // which reads the stored profiles
		return errf(KindState, "use state folder %s: %s: restore it, or remove it to enrol the node again", dir, text)
	}
	return err
}
