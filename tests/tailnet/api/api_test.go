package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"remote-ollama-proxy/tests/tailnet/clients"
	"remote-ollama-proxy/tests/tailnet/control"
	"remote-ollama-proxy/tests/tailnet/relay"
	"tailscale.com/envknob"
	"tailscale.com/net/netns"
	"tailscale.com/types/logger"
)

const policy = `{
	"tagOwners": {"tag:server": [], "tag:client": []},
	"grants": [{"src": ["tag:client"], "dst": ["tag:server"], "ip": ["tcp:80"]}], // one way
}`

// driver calls the API.
type driver struct {
	*testing.T
	handler http.Handler
}

func newDriver(t *testing.T) *driver {
	t.Helper()
	netns.SetEnabled(false)
	envknob.SetNoLogsNoSupport()
	r, err := relay.Listen(logger.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	c, err := control.Listen("127.0.0.1:0", r.Map(), logger.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	m := clients.NewManager(c, t.TempDir(), logger.Discard)
	t.Cleanup(m.Close)
	return &driver{t, (&API{Control: c, Clients: m, Relay: r}).Handler()}
}

func (d *driver) call(method, path, body string) (status int, text string) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

// ok makes a call that must succeed with part in its answer.
func (d *driver) ok(method, path, body, part string) string {
	d.Helper()
	status, text := d.call(method, path, body)
	if status != http.StatusOK || !strings.Contains(text, part) {
		d.Fatalf("%s %s %s: %d %s; want %s", method, path, body, status, text, part)
	}
	return text
}

func TestEachRouteSucceeds(t *testing.T) {
	d := newDriver(t)
	d.ok("PUT", "/policy", policy, "{}")
	d.ok("GET", "/policy", "", "// one way")
	d.ok("POST", "/keys", `{"tags": ["tag:server"], "expires_in": "1h"}`, `"key":"tskey-auth-k`)
	d.ok("POST", "/clients", `{"hostname": "server", "tags": ["tag:server"]}`, `"dns_name":"server.tailnet.test"`)
	d.ok("POST", "/clients", `{"hostname": "laptop", "tags": ["tag:client"]}`, `"name":"laptop"`)
	d.ok("GET", "/clients", "", `"stable_id":"n2TEST"`)
	d.ok("GET", "/nodes", "", `"online":true`)
	// There is no listener, so an open path ends in a refusal.
	d.ok("POST", "/clients/laptop/dial", `{"to": "server:80", "timeout": "30s"}`, "refused")
	d.ok("POST", "/clients/server/dial", `{"to": "nobody:80"}`, `server sees no node \"nobody\"`)
	var f struct{ Listen string }
	if err := json.Unmarshal([]byte(d.ok("POST", "/clients/laptop/forwards", `{"to": "server:80"}`, "127.0.0.1:")), &f); err != nil {
		t.Fatal(err)
	}
	d.ok("GET", "/clients/laptop/forwards", "", f.Listen)
	d.ok("DELETE", "/clients/laptop/forwards/"+f.Listen, "", "{}")
	d.ok("POST", "/nodes/laptop/key-expiry", `{"in": "72h"}`, "{}")
	d.ok("POST", "/nodes/laptop/key-expiry", `{"in": "never"}`, "{}")
	d.ok("POST", "/nodes/laptop/expire", "", "{}")
	d.ok("POST", "/nodes/laptop/approve", "", "{}")
	d.ok("DELETE", "/nodes/laptop", "", "{}")
	d.ok("POST", "/clients/laptop/receive-buffer", `{"bytes":65536}`, "{}")
	d.ok("POST", "/clients/laptop/abandon", "", "{}")
	d.ok("DELETE", "/clients/laptop", "", "{}")
	d.ok("PUT", "/settings", `{"require_approval": true, "admins": ["ada@example.com"]}`, "{}")
	d.ok("GET", "/settings", "", `"ada@example.com"`)
	for _, thing := range []string{"control", "relay"} {
		d.ok("POST", "/"+thing+"/stop", "", `"changed":true`)
		d.ok("POST", "/"+thing+"/start", "", `"changed":true`)
		d.ok("POST", "/"+thing+"/start", "", `"changed":false`)
	}
}

func TestBadRequestIsAnErrorWithItsReason(t *testing.T) {
	d := newDriver(t)
	for _, c := range []struct {
		call, body, reason string
		status             int
	}{
		{"PUT /policy", `{"grants": [{}]}`, "grants[0]", 400},
		{"POST /keys", `{}`, "tags or for a user", 400},
		{"POST /keys", `{"user": "a@example.com", "expires_in": "soon"}`, `expires_in: \"soon\"`, 400},
		{"POST /keys", `{"usr": "a@example.com"}`, `unknown field \"usr\"`, 400},
		{"POST /keys", `{"user": "anna"}`, `user: \"anna\" is no login name`, 400},
		{"POST /logins", `{"url": "x", "user": "a@example.com"}`, `no login waits at \"x\"`, 400},
		{"POST /clients", `{"user": "a@example.com"}`, "hostname", 400},
		{"DELETE /clients/x", "", `client \"x\": not running`, 404},
		{"POST /clients/x/dial", "", `client \"x\"`, 404},
		{"POST /nodes/x/expire", "", `node \"x\"`, 404},
		{"POST /nodes/x/key-expiry", `{"in": ""}`, `in: \"\" is no duration`, 400},
		{"GET /nothing", "", "no such route", 404},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		if status, text := d.call(method, path, c.body); status != c.status || !strings.Contains(text, c.reason) {
			t.Errorf("%s %s: %d %s; want %d %s", c.call, c.body, status, text, c.status, c.reason)
		}
	}
	d.ok("GET", "/policy", "", `"dst": ["*"]`)
}
