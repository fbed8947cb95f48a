package node

import (
	"time"

	"tailscale.com/tsnet"
)

// maxSkew is how far this machine's clock may be from the control server's. A
// certificate, an auth key or a node key that is good for minutes more, or for
// minutes already, is rare.
const maxSkew = 5 * time.Minute

// skew returns how far this machine's clock is ahead of the control server's, as
// of the last netmap; zero while that is bearable. Tailscale measures it for the
// expiry of keys and tells nobody.
func skew(server *tsnet.Server) time.Duration {
	backend, err := backendOf(server)
	if err != nil {
		return 0
	}
	now := time.Now()
	if ahead := now.Sub(backend.ControlNow(now)); ahead.Abs() > maxSkew {
		return ahead
	}
	return 0
}
