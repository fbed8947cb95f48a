package control

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// oauthClient makes auth keys for nodes with these tags.
type oauthClient struct{ tags []string }

// oauthKeyLife is the validity of a key that an OAuth client makes.
const oauthKeyLife = 90 * 24 * time.Hour

// NewOAuthClient makes an OAuth client that may assign these tags, and returns its secret.
func (s *Server) NewOAuthClient(tags []string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(tags) == 0 {
		return "", fmt.Errorf("tags: an OAuth client makes only tagged keys: give a tag")
	}
	for _, tag := range tags {
		if !s.policy.HasTag(tag) {
			return "", fmt.Errorf("tags: %q is not defined in tagOwners of the policy", tag)
		}
	}
	secret := "tskey-client-k" + rand.Text()[:12] + "CNTRL-" + rand.Text()
	s.oauthClients[secret] = &oauthClient{tags: tags}
	return secret, nil
}

// serveToken exchanges a client secret for an access token, as Tailscale's API
// does.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	_, secret, _ := r.BasicAuth()
	if secret == "" {
		secret = r.PostFormValue("client_secret")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.settings.TokenStatus != 0:
		refuseAPI(w, s.settings.TokenStatus, "as the settings of the test tailnet say")
	case s.oauthClients[secret] == nil:
		refuseAPI(w, http.StatusUnauthorized, "API token invalid")
	default:
		token := rand.Text()
		s.oauthTokens[token] = s.oauthClients[secret]
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
	}
}

// serveCreateKey makes an auth key for the holder of a token.
func (s *Server) serveCreateKey(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Capabilities struct {
			Devices struct {
				Create struct {
					Ephemeral, Preauthorized bool
					Tags                     []string
				}
			}
		}
	}
	if err := decode(r, &req); err != nil {
		refuseAPI(w, http.StatusBadRequest, err.Error())
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	client, status := s.oauthTokens[token], s.settings.CreateKeyStatus
	s.mu.Unlock()
	create := req.Capabilities.Devices.Create
	switch {
	case status != 0:
		refuseAPI(w, status, "as the settings of the test tailnet say")
		return
	case client == nil:
		refuseAPI(w, http.StatusUnauthorized, "API token invalid")
		return
	case len(create.Tags) == 0 || len(without(create.Tags, client.tags)) > 0:
		refuseAPI(w, http.StatusBadRequest, "requested tags are invalid or not permitted")
		return
	}
	key, err := s.NewKey(KeyRequest{
		Tags: create.Tags, Ephemeral: create.Ephemeral, Preapproved: create.Preauthorized, ExpiresIn: oauthKeyLife,
	})
	if err != nil {
		refuseAPI(w, http.StatusBadRequest, err.Error())
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"key": key})
}

// refuseAPI sends an error in the format of Tailscale's API.
func refuseAPI(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"message": message})
}
