package control

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A KeyRequest describes a new auth key.
type KeyRequest struct {
	Tags        []string // the node gets exactly these and has no owner …
	User        string   // … or this user owns it
	Reusable    bool
	Ephemeral   bool
	Preapproved bool
	ExpiresIn   time.Duration // negative: the key has expired already
	Exempt      bool          // Settings.RequireLogging does not apply to the node
}

// authKey admits nodes without a login.
type authKey struct {
	admission
	id       string
	reusable bool
	used     bool
	expires  time.Time
}

// NewKey makes an auth key.
func (s *Server) NewKey(r KeyRequest) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (len(r.Tags) == 0) == (r.User == "") {
		return "", errors.New("a key is for tags or for a user: give one of them")
	}
	if r.User != "" {
		if err := checkLogin(r.User); err != nil {
			return "", err
		}
	}
	for _, tag := range r.Tags {
		if !s.policy.HasTag(tag) {
			return "", fmt.Errorf("tags: %q is not defined in tagOwners of the policy", tag)
		}
	}
	id := "k" + rand.Text()[:12] + "CNTRL"
	text := "tskey-auth-" + id + "-" + rand.Text()
	s.keys[text] = &authKey{
		admission: admission{user: r.User, tags: r.Tags, ephemeral: r.Ephemeral, preapproved: r.Preapproved, exempt: r.Exempt},
		id:        id, reusable: r.Reusable, expires: time.Now().Add(r.ExpiresIn),
	}
	return text, nil
}

// redeemable returns a valid key. The errors have the texts of Tailscale's control
// server, which programs match.
func (s *Server) redeemable(text string) (*authKey, error) {
	k := s.keys[text]
	switch {
	case k == nil:
		return nil, errors.New("invalid key: API key does not exist")
	case k.used && !k.reusable:
		return nil, fmt.Errorf("invalid key: API key %s not valid", k.id)
	case !k.expires.After(time.Now()):
		return nil, fmt.Errorf("invalid key: API key %s expired", k.id)
	}
	return k, nil
}

// login is a registration that waits for a user's login.
type login struct {
	user string
	done chan struct{}
}

func (s *Server) beginLogin() string {
	url := s.URL() + "/a/" + rand.Text()
	s.logins[url] = &login{done: make(chan struct{})}
	return url
}

// CompleteLogin lets the node with this login URL join as a device of user.
func (s *Server) CompleteLogin(url, user string) error {
	if err := checkLogin(user); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logins[url]
	switch {
	case l == nil:
		return fmt.Errorf("url: no login waits at %q", url)
	case l.user != "":
		return fmt.Errorf("url: %s has logged in at %q already", l.user, url)
	}
	l.user = user
	close(l.done)
	return nil
}

func checkLogin(user string) error {
	if !strings.Contains(user, "@") {
		return fmt.Errorf("user: %q is no login name (user@domain)", user)
	}
	return nil
}
