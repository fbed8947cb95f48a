package node

import (
	"errors"
	"fmt"
	"strings"
)

// A Kind tells errors apart whose remedies differ. The numbers are part of the
// C interface (tailscale.h, TAILSCALE_ERR_*).
type Kind int

const (
	KindNone     Kind = 0
	KindOther    Kind = 1
	KindClosed   Kind = 2  // the node was closed meanwhile
	KindCanceled Kind = 3  // the caller gave up waiting
	KindKey      Kind = 4  // the control server does not accept the auth key
	KindExpired  Kind = 5  // the auth key or the node key has expired
	KindLogin    Kind = 6  // somebody must log in, see Node.LoginURL
	KindApproval Kind = 7  // an admin must approve the device
	KindControl  Kind = 8  // the control server can't be reached
	KindLogging  Kind = 9  // the tailnet requires log upload, which is left out
	KindState    Kind = 10 // the state folder can't be used
	KindExchange Kind = 11 // an OAuth client secret can't be exchanged for a key now
)

// An Error is a failure with its kind.
type Error struct {
	Kind Kind
	Text string
}

func (e *Error) Error() string { return e.Text }

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

func errLogging() error {
	return errf(KindLogging, "this tailnet requires its nodes to upload their logs, which this node never does: "+
		"an admin must turn network flow logs off for it, or it must join another tailnet")
}

// classifyBackend sorts what the control server or tailscale's backend said in
// words. The texts are the control server's; there are no codes for them.
func classifyBackend(text string) error {
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "requires logging"):
		return errLogging()
	case strings.Contains(lower, "rate limited"): // the backend tries again by itself
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

// classifyStart sorts an error of tsnet's start: what is left to fail there is
// the exchange of an OAuth secret for a key and files in the state folder.
func classifyStart(err error, dir string) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "resolving auth key"):
		return classifyExchange(err)
	case strings.Contains(text, dir), strings.Contains(text, "NewLocalBackend"): // which reads the stored profiles
		return errf(KindState, "state folder %s can't be used: %s: restore it, or remove it to enrol the node anew", dir, text)
	}
	return err
}
