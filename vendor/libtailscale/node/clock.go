package node

import (
	"time"

	"tailscale.com/tsnet"
)

// maxSkew is the tolerated difference between the local clock and the control
// server's. Certificates and keys rarely are valid for only minutes more, or since
// minutes.
const maxSkew = 5 * time.Minute

// skew returns by how much the local clock is ahead of the control server's, as of the
// last netmap; zero within maxSkew. Tailscale measures it for key expiry and does not
// report it.
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
