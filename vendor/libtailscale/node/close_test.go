package node

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// The transport dials for a request, and then uses a connection that has become idle.
// The dialled one stays unused.
func TestCloseDoesNotWaitForAnUnusedConnectionToTheBackend(t *testing.T) {
	n := newTailnet(t).upNode(t, "n")
	lc, err := n.client()
	must(t, err)
	transport := lc.Transport.(*http.Transport)
	var hold atomic.Bool
	dialling, release, dialled := make(chan struct{}), make(chan struct{}), make(chan struct{})
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !hold.Load() {
			return dial(ctx, network, addr)
		}
		close(dialling)
		<-release
		defer close(dialled)
		return dial(context.Background(), network, addr)
	}
	request := func() *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://local-tailscaled.sock/localapi/v0/status", nil)
		must(t, err)
		response, err := lc.DoLocalRequest(req)
		must(t, err)
		return response
	}
	finish := func(response *http.Response) {
		_, err := io.Copy(io.Discard, response.Body)
		must(t, err)
		response.Body.Close()
	}
	first := request()
	hold.Store(true)
	second := make(chan struct{})
	go func() {
		finish(request())
		close(second)
	}()
	<-dialling
	finish(first)
	<-second
	close(release)
	<-dialled
	began := time.Now()
	must(t, n.Close())
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("closing took %v", took)
	}
}
