package control

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

func TestNodeSetsChallengesOnlyForItsOwnName(t *testing.T) {
	s, err := Listen("127.0.0.1:0", &tailcfg.DERPMap{}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var records []string
	s.SetTXT = func(name, value string) { records = append(records, name+" "+value) }
	own, other := key.NewMachine().Public(), key.NewMachine().Public()
	s.mu.Lock()
	n := s.add(own, "server")
	n.Key = key.NewNode().Public()
	s.mu.Unlock()
	set := func(name, kind string, machine key.MachinePublic) int {
		body, err := json.Marshal(tailcfg.SetDNSRequest{NodeKey: n.Key, Name: name, Type: kind, Value: "v"})
		if err != nil {
			t.Fatal(err)
		}
		answer := httptest.NewRecorder()
		s.serveSetDNS(answer, httptest.NewRequest("POST", "/machine/set-dns", bytes.NewReader(body)), machine)
		return answer.Code
	}
	const name = "_acme-challenge.server." + Domain
	if code := set(name, "TXT", own); code != http.StatusForbidden {
		t.Errorf("without certificates: %d", code)
	}
	if err := s.SetSettings(Settings{Certificates: true}); err != nil {
		t.Fatal(err)
	}
	if code := set(name, "TXT", own); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	for _, code := range []int{
		set(name, "TXT", other), set(name, "A", own), set("server."+Domain, "TXT", own),
		set("_acme-challenge.other."+Domain, "TXT", own),
	} {
		if code != http.StatusForbidden {
			t.Errorf("%d", code)
		}
	}
	if want := []string{name + " v"}; !slices.Equal(records, want) {
		t.Errorf("%q", records)
	}
}
