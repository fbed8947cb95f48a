package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// noListeners fails if a process has a TCP listener of the operating system.
func noListeners(t *testing.T, pid int) {
	t.Helper()
	sockets := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	for _, fd := range fds {
		target, _ := os.Readlink(fd)
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	if len(sockets) == 0 {
		t.Fatalf("no sockets at all among %d descriptors", len(fds))
	}
	const state, inode, listen = 3, 9, "0A"
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		must(t, err)
		for _, line := range strings.Split(string(b), "\n")[1:] {
			if f := strings.Fields(line); len(f) > inode && f[state] == listen && sockets[f[inode]] {
				t.Errorf("the process listens: %s", line)
			}
		}
	}
}
