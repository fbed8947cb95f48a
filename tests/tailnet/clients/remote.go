package clients

import (
	"errors"
	"net/netip"

	"remote-ollama-proxy/tests/tailnet/control"
)

// RemoteControl is a control server in another process. It can't resolve names or resend
// peers: destinations are addresses, and a lost handshake is retried after 5 s.
type RemoteControl struct {
	ServerURL string
	Key       string // for one client
}

func (r RemoteControl) URL() string { return r.ServerURL }

func (r RemoteControl) NewKey(control.KeyRequest) (string, error) {
	if r.Key == "" {
		return "", errors.New("no auth key for a client of another process's tailnet")
	}
	return r.Key, nil
}

func (r RemoteControl) Resolve(_, host string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

func (r RemoteControl) Epoch() uint64 { return 0 }

func (r RemoteControl) ResendPeer(string, netip.Addr) {}
