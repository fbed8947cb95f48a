//go:build !linux

package archive

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// noListeners fails if a process has a TCP listener of the operating system.
func noListeners(t *testing.T, pid int) {
	t.Helper()
	// lsof exits with 1 when it finds none.
	out, err := exec.Command("lsof", "-nP", "-a", "-p", strconv.Itoa(pid), "-iTCP", "-sTCP:LISTEN").Output()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(out)) != "" {
		t.Errorf("the process listens:\n%s", out)
	}
}
