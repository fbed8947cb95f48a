package clients

import (
	"errors"
	"net/netip"

	"remote-ollama-proxy/tests/tailnet/control"
)

// Elsewhere is a control server in another process, whose word on other nodes
// can't be asked for: destinations are addresses, and lost handshakes take
// their five seconds.
type Elsewhere struct {
	At  string // its URL
	Key string // for one client
}

func (e Elsewhere) URL() string { return e.At }

func (e Elsewhere) NewKey(control.KeyRequest) (string, error) {
	if e.Key == "" {
		return "", errors.New("no auth key for a client of another process's tailnet")
	}
	return e.Key, nil
}

func (e Elsewhere) Resolve(_, host string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

func (e Elsewhere) Epoch() uint64 { return 0 }

func (e Elsewhere) Reintroduce(string, netip.Addr) {}
