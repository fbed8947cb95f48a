package node

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"tailscale.com/net/netmon"
	"tailscale.com/net/netns"
	"tailscale.com/types/logger"
)

// It runs in a process of its own: what it changes, the nodes of other tests read.
func TestSocketsOfAnOrdinaryAccountAreBoundToNoInterface(t *testing.T) {
	const knob = "TS_FORCE_LINUX_BIND_TO_DEVICE" // as where packets can't be marked
	if os.Getenv(knob) == "" {
		exe, err := os.Executable()
		must(t, err)
		cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), knob+"=true")
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, output)
		}
		return
	}
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
