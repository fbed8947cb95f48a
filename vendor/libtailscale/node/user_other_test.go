//go:build !linux

package node

import (
	"os"
	"testing"
)

// asOrdinaryUser runs f without the privileges of root, which override file modes.
func asOrdinaryUser(t *testing.T, f func()) {
	if os.Geteuid() == 0 {
		t.Fatal("run this test as an ordinary user")
	}
	f()
}
