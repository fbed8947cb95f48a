package node

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The answer of the API decides whether a start may be retried.
func TestExchangeIsPermanentOnlyIfTheAPIRejectsTheSecret(t *testing.T) {
	tn := newTailnet(t)
	page := "<html>\n" + strings.Repeat("long ", 1000)
	for _, c := range []struct {
		status int
		token  string // answer of the token endpoint
		key    string // answer of the key endpoint, if the other returns a token
		want   Kind
	}{
		{http.StatusUnauthorized, page, "", KindKey},
		{http.StatusForbidden, page, "", KindKey},
		{http.StatusBadRequest, `{"error":"invalid_client"}`, "", KindKey},
		{http.StatusBadRequest, `{"error":"invalid_scope"}`, "", KindKey},
		{http.StatusBadRequest, `{"error":"temporarily_unavailable"}`, "", KindExchange},
		{http.StatusBadRequest, page, "", KindExchange},
		{http.StatusNotFound, page, "", KindExchange},
		{http.StatusNotFound, `{"error":"invalid_client"}`, "", KindExchange},
		{http.StatusProxyAuthRequired, page, "", KindExchange},
		{http.StatusRequestTimeout, page, "", KindExchange},
		{http.StatusTooEarly, page, "", KindExchange},
		{http.StatusTooManyRequests, page, "", KindExchange},
		{http.StatusInternalServerError, page, "", KindExchange},
		{http.StatusServiceUnavailable, page, "", KindExchange},
		{http.StatusOK, page, "", KindExchange}, // from a captive portal
		{0, page, "", KindExchange},             // refused connection
		{http.StatusForbidden, "", `{"message":"not allowed"}`, KindKey},
		{http.StatusBadRequest, "", `{"message":"requested tags are invalid or not permitted"}`, KindKey},
		{http.StatusBadRequest, "", page, KindExchange},
		{http.StatusNotFound, "", `{"message":"not found"}`, KindExchange},
	} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := c.token
			if w.Header().Set("Content-Type", "application/json"); c.key != "" {
				if strings.HasSuffix(r.URL.Path, "/oauth/token") {
					w.Write([]byte(`{"access_token":"t","token_type":"Bearer"}`))
					return
				}
				answer = c.key
			}
			w.WriteHeader(c.status)
			w.Write([]byte(answer))
		}))
		if c.status == 0 {
			api.Close()
		}
		n := tn.node(t, "n", func(config *Config) {
			config.ClientSecret, config.Tags = "tskey-client-hidden?baseURL="+api.URL, []string{"tag:a"}
		})
		_, err := n.Up(deadline(t))
		api.Close()
		if KindOf(err) != c.want {
			t.Errorf("%+.60v: kind %d, want %d: %v", c, KindOf(err), c.want, err)
		}
		if text := err.Error(); strings.Contains(text, "hidden") || strings.Contains(text, "\n") || len(text) > 2*maxReason {
			t.Errorf("status %d: %s", c.status, text)
		}
	}
}

// A manualDeadline is a context whose deadline passes when its channel is closed.
type manualDeadline struct {
	context.Context
	at chan struct{}
}

func (d manualDeadline) Done() <-chan struct{} { return d.at }

func (d manualDeadline) Err() error {
	select {
	case <-d.at:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// The same holds if the tailnet no longer accepts the stored node.
func TestExchangeWithASilentAPIEndsAtTheDeadline(t *testing.T) {
	for _, stored := range []bool{false, true} {
		tn := newTailnet(t)
		asked, hold := make(chan struct{}), make(chan struct{})
		api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			close(asked)
			<-hold
		}))
		exchanging := func(config *Config) {
			config.ClientSecret, config.Tags = "tskey-client-hidden?baseURL="+api.URL, []string{"tag:a"}
		}
		var n *Node
		if stored {
			first := tn.upNode(t, "first")
			tn.RequireAuth = true
			n = tn.restart(t, first, exchanging)
		} else {
			n = tn.node(t, "n", exchanging)
		}
		_, err := n.Up(manualDeadline{deadline(t), asked})
		if KindOf(err) != KindExchange {
			t.Errorf("stored %v: kind %d: %v", stored, KindOf(err), err)
		}
		close(hold)
		api.Close()
	}
}

// The same holds if the tailnet no longer accepts the stored node.
func TestCloseCancelsAnExchangeWithASilentAPI(t *testing.T) {
	for _, stored := range []bool{false, true} {
		tn := newTailnet(t)
		asked, cancelled, hold := make(chan struct{}), make(chan struct{}), make(chan struct{})
		api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // the server detects a disconnect once it has read the body
			close(asked)
			select {
			case <-r.Context().Done():
				close(cancelled)
			case <-hold:
			}
		}))
		exchanging := func(config *Config) {
			config.ClientSecret, config.Tags = "tskey-client-hidden?baseURL="+api.URL, []string{"tag:a"}
		}
		var n *Node
		if stored {
			first := tn.upNode(t, "first")
			tn.RequireAuth = true
			n = tn.restart(t, first, exchanging)
		} else {
			n = tn.node(t, "n", exchanging)
		}
		got := make(chan error, 1)
		go func() {
			_, err := n.Up(deadline(t))
			got <- err
		}()
		<-asked
		if err := n.Close(); err != nil {
			t.Errorf("stored %v: %v", stored, err)
		}
		if err := <-got; KindOf(err) != KindClosed {
			t.Errorf("stored %v: kind %d: %v", stored, KindOf(err), err)
		}
		select {
		case <-cancelled:
		case <-deadline(t).Done():
			t.Errorf("stored %v: the exchange was not cancelled", stored)
		}
		close(hold)
		api.Close()
	}
}
