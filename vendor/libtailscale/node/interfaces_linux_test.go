package node

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"tailscale.com/envknob"
	"tailscale.com/net/netmon"
	"tailscale.com/net/netns"
	"tailscale.com/types/logger"
)

func TestSocketsOfAnOrdinaryAccountAreBoundToNoInterface(t *testing.T) {
	// As where packets can't be marked.
	const knob = "TS_FORCE_LINUX_BIND_TO_DEVICE"
	envknob.Setenv(knob, "true")
	process.mu.Lock()
	before := process.settings
	process.prepared = false
	process.mu.Unlock()
	defer func() {
		envknob.Setenv(knob, "")
		netns.SetEnabled(true)
		process.settings = before
	}()
	netns.SetEnabled(true)
	if boundTo(t) == "" {
		t.Fatal("tailscale binds no socket to an interface: nothing is left to test")
	}
	must(t, prepareProcess(&Config{}))
	if name := boundTo(t); name != "" {
		t.Errorf("a socket is bound to the interface %q", name)
	}
}

// boundTo returns the interface that a socket as WireGuard's is bound to, or "".
func boundTo(t *testing.T) (name string) {
	socket, err := netns.Listener(logger.Discard, netmon.NewStatic()).ListenPacket(t.Context(), "udp4", ":0")
	must(t, err)
	defer socket.Close()
	raw, err := socket.(*net.UDPConn).SyscallConn()
	must(t, err)
	must(t, control(raw, func(fd int) (err error) {
		name, err = unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
		return err
	}))
	return name
}

func control(raw syscall.RawConn, f func(fd int) error) (err error) {
	if failed := raw.Control(func(fd uintptr) { err = f(int(fd)) }); failed != nil {
		return failed
	}
	return err
}
